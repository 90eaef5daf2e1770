_base_ = [
    '../_base_/models/dinov2_small_frozen.py',
    '../_base_/datasets/nyud_small_224x280.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
# One linear map of the four levels per task, on their grid: what the encoder gives away without a decoder.
model = dict(
    decode_head=dict(
        type='PerTaskHead',
        in_channels=[384] * 4,
        head=dict(
            type='mmseg.FCNHead',
            num_convs=0,
            concat_input=False,
            dropout_ratio=0,
            input_transform='resize_concat',
            in_channels=[384] * 4,
            in_index=[0, 1, 2, 3],
            channels=4 * 384,
            align_corners=False,
        ),
    )
)
optim_wrapper = dict(optimizer=dict(lr=1e-2))
