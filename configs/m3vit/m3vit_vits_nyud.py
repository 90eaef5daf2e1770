_base_ = [
    '../_base_/models/m3vit.py',
    '../_base_/datasets/nyud_astmt.py',
    '../_base_/schedules/sgd_family_a.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
task_names = ['semseg', 'depth']
model = dict(
    decode_head=dict(tam_levels=[0, 1, 2]),
    criterion=dict(auxiliary=dict(tam_level0=1.0, tam_level1=1.0, tam_level2=1.0)),
)
