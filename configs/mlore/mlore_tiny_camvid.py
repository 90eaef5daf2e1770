_base_ = [
    '../_base_/models/mlore_tiny.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
max_iters = 400
model = dict(decode_head=dict(grid=(32, 40)))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=max_iters + 1, by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=max_iters))
