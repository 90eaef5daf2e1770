_base_ = [
    '../_base_/models/invpt_tiny.py',
    '../_base_/datasets/synth_rooms_pascal.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
max_iters = 500
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=max_iters + 1, by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=max_iters))
auto_scale_lr = dict(base_batch_size=4)
