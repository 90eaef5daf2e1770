_base_ = [
    '../_base_/models/dinov2_small_frozen.py',
    '../_base_/datasets/nyud_small_224x280.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
# A pyramid of strides 3.5, 7, 14 and 28 from the four levels, all of which have stride 14.
model = dict(
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=14),
    neck=dict(then=dict(type='mmseg.MultiLevelNeck', in_channels=[384] * 4, out_channels=72, scales=[4, 2, 1, 0.5])),
    decode_head=dict(type='PADNetHead', in_channels=[72] * 4, embed_dims=72),
    criterion=dict(auxiliary=dict(initial=1.0)),
)
