_base_ = './densemtl_r101_cityscapes_sdn.py'

task_names = ['semseg', 'depth']
tasks = dict(semseg=dict(loss_weight=50.0))
