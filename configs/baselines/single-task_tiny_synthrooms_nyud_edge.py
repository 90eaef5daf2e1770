_base_ = './hard-sharing_tiny_synthrooms_nyud.py'
task_names = ['edge']
