_base_ = [
    '../_base_/models/dinov2_small_frozen.py',
    '../_base_/datasets/nyud_small_224x280.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
# A pyramid of strides 7, 14, 14 and 28 from the four levels, all of which have stride 14. Tasks exchange at stride 7.
model = dict(
    neck=dict(then=dict(type='mmseg.MultiLevelNeck', in_channels=[384] * 4, out_channels=48, scales=[2, 1, 1, 0.5])),
    decode_head=dict(
        type='DenseMTLHead',
        in_channels=[48] * 4,
        channels=[48] * 4,
        exchange={'1': 4},
        side_scales=(1,),
        dilations=(2, 4, 6),
    ),
    criterion=dict(auxiliary=dict(scale_1=dict(combine='mean', align_corners=True))),
)
tasks = dict(semseg=dict(loss_weight=4.0))
