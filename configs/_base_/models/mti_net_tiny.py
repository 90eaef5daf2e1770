# A MTI-Net small enough to train from scratch on two CPU cores.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=32),
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        stem_channels=32,
        base_channels=16,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
    ),
    decode_head=dict(type='MTINetHead', in_channels=[16, 32, 64, 128]),
    criterion=dict(type='MultiTaskCriterion', auxiliary=dict(scale_0=1.0, scale_1=1.0, scale_2=1.0, scale_3=1.0)),
    test_cfg=dict(mode='whole'),
)
