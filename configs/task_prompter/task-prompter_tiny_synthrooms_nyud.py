_base_ = [
    '../_base_/models/task_prompter_tiny.py',
    '../_base_/datasets/synth_rooms_nyud.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
max_iters = 220
tasks = dict(depth=dict(loss_weight=4.0))  # its gradients are the smallest by far, and there is little time
train_dataloader = dict(batch_size=4)
# Predictions start at 0, an average pixel has 3.6 m, and the step of Adam on 32 channels is short.
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(custom_keys={'decode_head.heads': dict(lr_mult=4.0)}))
train_cfg = dict(val_interval='$max_iters')
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval='$max_iters'))
