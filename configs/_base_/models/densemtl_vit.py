# DenseMTL on the ViT of MLoRE, through a pyramid of strides 4, 8, 16 and 32, to compare decoders at equal encoder:
# losses are the data set's, so that only the decoder differs. Tasks exchange at stride 4; the last scale has stride 2.
_base_ = './mlore_vit.py'
model = dict(
    data_preprocessor=dict(size_divisor=32),
    neck=dict(type='mmseg.MultiLevelNeck', in_channels=[1024] * 4, out_channels=256, scales=[4, 2, 1, 0.5]),
    decode_head=dict(
        _delete_=True,
        type='DenseMTLHead',
        in_channels=[256] * 4,
        channels=[64, 128, 256, 256],
        exchange={'1': 4},
        side_scales=(1,),
        dilations=(2, 4, 6),
    ),
    criterion=dict(
        _delete_=True,
        type='MultiTaskCriterion',
        auxiliary=dict(scale_1=dict(combine='mean', align_corners=True)),
    ),
)
