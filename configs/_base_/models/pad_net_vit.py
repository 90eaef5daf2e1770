# PAD-Net on the ViT of MLoRE, through a pyramid of strides 4, 8, 16 and 32, to compare decoders at equal encoder.
_base_ = './mlore_vit.py'
model = dict(
    data_preprocessor=dict(size_divisor=32),
    neck=dict(type='mmseg.MultiLevelNeck', in_channels=[1024] * 4, out_channels=256, scales=[4, 2, 1, 0.5]),
    decode_head=dict(_delete_=True, type='PADNetHead', in_channels=[256] * 4, embed_dims=256),
    criterion=dict(_delete_=True, type='MultiTaskCriterion', auxiliary=dict(initial=1.0)),
)
