# The published task losses, encodings and optimizer; base, "twice". Rates are per 256 images, as published.
_base_ = [
    '../_base_/models/mod_squad.py',
    '../_base_/datasets/taskonomy.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(mean=(127.5,) * 3, std=(127.5,) * 3),
    backbone=dict(arch='base', attn_experts=24),
    decode_head=dict(in_channels=768),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=4e-4, eps=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, custom_keys=dict(pos_embed=dict(decay_mult=0.0), cls_token=dict(decay_mult=0.0))
    ),
)
auto_scale_lr = dict(enable=True, base_batch_size=256)
