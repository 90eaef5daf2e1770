_base_ = [
    '../_base_/models/densemtl_r101.py',
    '../_base_/datasets/cityscapes_densemtl.py',
    '../_base_/schedules/densemtl_40k.py',
    '../_base_/default_runtime.py',
]

tasks = dict(semseg=dict(loss_weight=100.0))
# The encoder learns at 1e-5.
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
