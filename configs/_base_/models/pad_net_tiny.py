# A PAD-Net small enough to train from scratch on two CPU cores.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=32),
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
    ),
    decode_head=dict(type='PADNetHead', in_channels=[32, 64, 128, 256], embed_dims=48),
    criterion=dict(type='MultiTaskCriterion', auxiliary=dict(initial=1.0)),
    test_cfg=dict(mode='whole'),
)
