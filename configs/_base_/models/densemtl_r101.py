# DenseMTL on ResNet-101 with ImageNet weights. Layer 4 keeps stride 16; its first block is not dilated.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor', mean=[114.75] * 3, std=[57.375] * 3, bgr_to_rgb=True, size_divisor=16
    ),
    backbone=dict(
        type='StemResNet',
        depth=101,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        contract_dilation=True,
        norm_cfg=dict(type='BN', requires_grad=True),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101'),
    ),
    decode_head=dict(
        type='DenseMTLHead',
        in_channels=[64, 256, 512, 1024, 2048],
        channels=[64, 128, 128, 256, 256],
        exchange={'1': 4},
        side_scales=(1,),
        dilations=(6, 12, 18),
    ),
    criterion=dict(type='MultiTaskCriterion', auxiliary=dict(scale_1=dict(combine='mean', align_corners=True))),
)
