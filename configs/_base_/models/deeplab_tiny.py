# A DeepLab head per task on a narrow ResNet at output stride 8, small enough to train from scratch on two CPU cores; a
# leaf says how encoders share.
encoder = dict(type='DilatedResNet', depth=18, stem_channels=16, planes=(16, 24, 32, 48))
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=16),
    backbone='$encoder',
    decode_head=dict(
        type='PerTaskHead',
        in_channels=[48],
        head=dict(type='DeepLabHead', in_channels=48, channels=32, dilations=(2, 4, 6), dropout=0.1),
    ),
    criterion=dict(type='MultiTaskCriterion'),
    test_cfg=dict(mode='whole', resize='predictions'),
)
