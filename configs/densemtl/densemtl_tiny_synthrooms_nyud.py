_base_ = [
    '../_base_/models/densemtl_r101.py',
    '../_base_/datasets/synth_rooms_nyud.py',
    '../_base_/schedules/densemtl_40k.py',
    '../_base_/default_runtime.py',
]
max_iters = 800

# The losses of the method on the data set's own pipeline and metrics, so that its numbers stand beside other decoders'.
tasks = dict(
    semseg=dict(loss_weight=100.0),
    depth=dict(_delete_=True, type='InverseDepth', loss_weight=1.0, zoom_rule=True),
    normals=dict(loss=dict(type='CosineNormalsLoss'), loss_weight=100.0),
    edge=dict(out_channels=2, loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weights=(0.05, 0.95))),
)
model = dict(
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    decode_head=dict(in_channels=[32, 32, 64, 128, 256], channels=[16, 24, 32, 48, 48], dilations=(2, 4, 6)),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end='$max_iters + 1', by_epoch=False)]
train_cfg = dict(val_interval='$max_iters')
default_hooks = dict(checkpoint=dict(interval='$max_iters'))
