_base_ = [
    '../_base_/models/deeplab_dilated.py',
    '../_base_/datasets/nyud_astmt.py',
    '../_base_/schedules/adam_family_a.py',
    '../_base_/default_runtime.py',
]
task_names = ['semseg', 'depth']
