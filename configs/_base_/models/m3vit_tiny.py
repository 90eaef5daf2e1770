# An M3ViT small enough to train from scratch on two CPU cores.
_base_ = './m3vit.py'
model = dict(
    backbone=dict(
        arch=dict(embed_dims=96, num_layers=4, num_heads=3),
        num_experts=8,
        top_k=2,
        expert_ratio=2,
        gate_init='normal',  # there is little time, and even gates let every expert learn from the start
    ),
    decode_head=dict(in_channels=96, embed_dims=32),
    test_cfg=dict(resize='logits'),
)
