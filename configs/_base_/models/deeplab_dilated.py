# A DeepLab head per task on a ResNet at output stride 8; a leaf gives the depth, and how encoders share.
encoder = dict(type='DilatedResNet', depth=50, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'))
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=8),
    backbone='$encoder',
    decode_head=dict(
        type='PerTaskHead', in_channels=[2048], head=dict(type='DeepLabHead', in_channels=2048, channels=256)
    ),
    criterion=dict(type='MultiTaskCriterion'),
    test_cfg=dict(mode='whole', resize='predictions'),
)
