_base_ = [
    '../_base_/models/mlore_timm.py',
    '../_base_/datasets/nyud_v2.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(model_name='convnext_tiny.dinov3_lvd1689m'), decode_head=dict(reference_level=2))
