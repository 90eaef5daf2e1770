_base_ = [
    '../_base_/models/deeplab_dilated.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/adam_family_a.py',
    '../_base_/default_runtime.py',
]
encoder = dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18'))
max_epochs = 20
train_dataloader = dict(batch_size=12)
auto_scale_lr = dict(base_batch_size=12)
# Published: a rate of the exchange 100 times as large is set and never acts, so the multiplier is 1. To have it, set
# optim_wrapper.paramwise_cfg=dict(custom_keys={'backbone.exchange': dict(lr_mult=100)}).
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=5e-3, momentum=0.9, weight_decay=1e-4),
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='EncodersInStep',
        encoder='$encoder',
        exchange=dict(type='NDDR', alpha=0.8, beta=0.05),
    ),
    decode_head=dict(in_channels=[512], head=dict(in_channels=512)),
)
