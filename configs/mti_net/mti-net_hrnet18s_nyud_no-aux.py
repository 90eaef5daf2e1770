_base_ = './mti-net_hrnet18s_nyud.py'
task_names = ['semseg', 'depth']
aux_tasks = []
