# A Mod-Squad small enough to train from scratch on two CPU cores, with the convolutional decoder of M3ViT: the released
# one predicts a patch from one token, for which there is too little time.
_base_ = './mod_squad.py'
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=96, num_layers=4, num_heads=3),
        attn_experts=6,
        num_experts=8,
        top_k=2,
        drop_path_rate=0.0,
    ),
    decode_head=dict(_delete_=True, type='PUPHead', in_channels=96, embed_dims=32),
    test_cfg=dict(resize='logits'),
)
