_base_ = './pad-net_hrnet18s_pascal.py'
task_names = ['semseg', 'human_parts', 'sal']
max_epochs = 80
