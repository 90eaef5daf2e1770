_base_ = [
    '../_base_/models/mlore_timm.py',
    '../_base_/datasets/nyud_v2.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(model_name='eva02_large_patch14_448.mim_m38m_ft_in22k_in1k'))
