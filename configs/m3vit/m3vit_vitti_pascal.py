_base_ = [
    '../_base_/models/m3vit.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/sgd_family_a.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
# Ours: the widths of DeiT-Ti.
model = dict(backbone=dict(arch='tiny'), decode_head=dict(in_channels=192))
