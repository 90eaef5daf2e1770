_base_ = [
    '../_base_/models/m3vit.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/sgd_family_a.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
model = dict(
    backbone=dict(arch='base'),
    decode_head=dict(in_channels=768, tam_levels=[0]),
    criterion=dict(auxiliary=dict(tam_level0=1.0)),
)
