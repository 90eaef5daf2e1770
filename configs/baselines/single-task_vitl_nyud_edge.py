_base_ = './hard-sharing_vitl_nyud.py'
task_names = ['edge']
