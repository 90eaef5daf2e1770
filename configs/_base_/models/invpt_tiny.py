# An InvPT small enough to train from scratch on two CPU cores: a ResNet-18 of half width in place of the ViT.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=64),
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
    ),
    decode_head=dict(
        type='InvPTHead',
        in_channels=[64, 128, 256],
        in_index=[1, 2, 3],
        strides=(8, 16, 32),
        embed_dims=56,
        extra_dims=8,
    ),
    criterion=dict(type='MultiTaskCriterion', auxiliary=dict(intermediate=1.0)),
    test_cfg=dict(mode='whole'),
)
