_base_ = [
    '../_base_/models/pad_net_tiny.py',
    '../_base_/datasets/synth_rooms_nyud.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
max_iters = 200
tasks = dict(depth=dict(loss_weight=4.0))  # its gradients are the smallest by far, and there is little time
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(val_interval='$max_iters')
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval='$max_iters'))
