# SynthRooms in the layout of PASCALContext: rendered rooms, 120x160, some upright.
# Made by tools/dataset_converters/synth_rooms.py.
_base_ = './pascal_context.py'
data_root = 'data/synth_rooms/PASCALContext'
crop_size = (160, 160)

train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomScale', ratio_range=(0.75, 1.5)),
    dict(type='MultiTaskRandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='CentrePad', size=crop_size),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='CentrePad', size=crop_size),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
tta_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in (0.75, 1.0, 1.25)],
            [dict(type='RandomFlip', prob=flip, direction='horizontal') for flip in (0.0, 1.0)],
            [dict(type='CentrePad', size=crop_size, divisor=16)],
            [dict(type='LoadMultiTaskLabels')],
            [dict(type='MarkIgnore')],
            [dict(type='PackMultiTaskInputs')],
        ],
    ),
]

train_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
