# MTI-Net on the ViT of MLoRE, through a pyramid of strides 4, 8, 16 and 32, to compare decoders at equal encoder.
_base_ = './mlore_vit.py'
model = dict(
    data_preprocessor=dict(size_divisor=32),
    neck=dict(type='mmseg.MultiLevelNeck', in_channels=[1024] * 4, out_channels=128, scales=[4, 2, 1, 0.5]),
    decode_head=dict(_delete_=True, type='MTINetHead', in_channels=[128] * 4),
    criterion=dict(
        _delete_=True, type='MultiTaskCriterion', auxiliary=dict(scale_0=1.0, scale_1=1.0, scale_2=1.0, scale_3=1.0)
    ),
)
