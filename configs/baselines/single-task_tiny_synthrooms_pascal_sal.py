_base_ = './hard-sharing_tiny_synthrooms_pascal.py'
task_names = ['sal']
