_base_ = './hard-sharing_r50_nyud.py'
task_names = ['semseg']
