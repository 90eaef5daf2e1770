_base_ = [
    '../_base_/models/densemtl_r101.py',
    '../_base_/datasets/synth_rooms_nyud.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
# The losses of the method on the data set's own pipeline and metrics, so that its numbers stand beside other decoders'.
max_iters = 160
tasks = dict(
    semseg=dict(loss_weight=50.0),
    depth=dict(_delete_=True, type='InverseDepth', zoom_rule=True, metric=dict(type='DepthMetric')),
    normals=dict(loss=dict(type='CosineNormalsLoss'), loss_weight=100.0),
    edge=dict(out_channels=2, loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weights=(0.05, 0.95))),
)
model = dict(
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    decode_head=dict(in_channels=[32, 32, 64, 128, 256], channels=[8, 16, 24, 32, 32], dilations=(2, 4, 6)),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(val_interval='$max_iters')
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval='$max_iters'))
