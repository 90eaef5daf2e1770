# Random scale, crop and flip in training, photos padded about the centre in a test: the pipelines of ATRC, InvPT and
# MLoRE (family B). A data set inherits this file, names its `data_root` and `crop_size`, and says what else differs.
# What starts with $ is worked out when everything has been read: see docs/configs.md.
scale_range = (0.5, 2.0)
test_pad = dict(type='CentrePad', size='$crop_size', divisor=16)

train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomScale', ratio_range='$scale_range'),
    dict(type='MultiTaskRandomCrop', crop_size='$crop_size', cat_max_ratio=0.75),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='CentrePad', size='$crop_size'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
# Labels are loaded after padding: predictions are brought back to the original image and scored there.
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    '$test_pad',
    dict(type='LoadMultiTaskLabels'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
tta_model = dict(type='MultiTaskTTAModel')
tta_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in (0.75, 1.0, 1.25)],
            [dict(type='RandomFlip', prob=flip, direction='horizontal') for flip in (0.0, 1.0)],
            ['$test_pad'],
            [dict(type='LoadMultiTaskLabels')],
            [dict(type='MarkIgnore')],
            [dict(type='PackMultiTaskInputs')],
        ],
    ),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(data_root='$data_root', pipeline='$train_pipeline'),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_root='$data_root', pipeline='$test_pipeline', test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MultiTaskEvaluator')  # one metric per task, from `tasks`
test_evaluator = val_evaluator
