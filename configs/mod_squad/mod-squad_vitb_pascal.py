_base_ = [
    '../_base_/models/mod_squad.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, eps=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, custom_keys=dict(pos_embed=dict(decay_mult=0.0), cls_token=dict(decay_mult=0.0))
    ),
)
model = dict(backbone=dict(arch='base', attn_experts=24), decode_head=dict(in_channels=768))
