_base_ = [
    '../_base_/models/deeplab_dilated.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/adam_family_a.py',
    '../_base_/default_runtime.py',
]
encoder = dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18'))
train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=6)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=5e-3, momentum=0.9, weight_decay=1e-4),
)
model = dict(
    backbone=dict(_delete_=True, type='MTAN', encoder='$encoder'),
    decode_head=dict(in_channels=[512], head=dict(in_channels=512)),
)
