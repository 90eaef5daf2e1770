_base_ = [
    '../_base_/models/mlore_timm.py',
    '../_base_/datasets/nyud_v2.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(model_name='vit_small_patch14_dinov2.lvd142m'))
