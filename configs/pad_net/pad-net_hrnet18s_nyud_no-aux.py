_base_ = './pad-net_hrnet18s_nyud.py'
task_names = ['semseg', 'depth']
aux_tasks = []
