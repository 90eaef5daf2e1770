_base_ = [
    '../_base_/models/fgmoe_style_vit.py',
    '../_base_/datasets/pascal_context.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=1e-4))
default_hooks = dict(checkpoint=dict(save_trainable_only=True))
