_base_ = './hard-sharing_r50_pascal.py'
task_names = ['normals']
