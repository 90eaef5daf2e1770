_base_ = [
    '../_base_/models/deeplab_dilated.py',
    '../_base_/datasets/nyud_astmt.py',
    '../_base_/schedules/adam_family_a.py',
    '../_base_/default_runtime.py',
]
task_names = ['semseg', 'depth']
max_epochs = 50
# Published: a rate of the exchange 100 times as large is set and never acts, so the multiplier is 1. To have it, set
# optim_wrapper.paramwise_cfg=dict(custom_keys={'backbone.exchange': dict(lr_mult=100)}).
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=1e-3, momentum=0.9, weight_decay=1e-4),
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='EncodersInStep',
        encoder='$encoder',
        exchange=dict(type='NDDR', alpha=0.9, beta=0.1),
    )
)
