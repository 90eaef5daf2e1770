_base_ = './hard-sharing_vitl_pascal.py'
task_names = ['edge']
