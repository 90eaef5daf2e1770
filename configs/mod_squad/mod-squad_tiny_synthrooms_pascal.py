_base_ = [
    '../_base_/models/mod_squad_tiny.py',
    '../_base_/datasets/synth_rooms_pascal.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
max_iters = 500
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(val_interval='$max_iters')
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval='$max_iters'))
