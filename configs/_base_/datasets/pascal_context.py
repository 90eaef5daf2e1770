# PASCAL-Context: 4,998 training and 5,105 validation photos. Tasks go by id, so new ones are added at the end.
dataset_type = 'PASCALContextDataset'
data_root = 'data/PASCALContext'
crop_size = (512, 512)

# fmt: off
classes = (
    'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable',
    'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor')
# fmt: on
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=21, classes=classes),  # drawn in the colours of PASCAL VOC
    human_parts=dict(type='HumanParts', loss_weight=2.0),
    sal=dict(type='Saliency', loss_weight=5.0),
    normals=dict(type='SurfaceNormals', loss_weight=10.0),
    edge=dict(
        type='Edge',
        loss_weight=50.0,
        loss=dict(type='BalancedBCELoss', pos_weight=0.95),
        metric=dict(type='BoundaryMetric', max_dist=0.0075),
    ),
)

train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomScale', ratio_range=(0.5, 2.0)),
    dict(type='MultiTaskRandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='CentrePad', size=crop_size),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
# Labels are loaded after padding: predictions are brought back to the original image and scored there.
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='CentrePad', size=crop_size),
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
            [dict(type='CentrePad', size=crop_size, divisor=16)],
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
    dataset=dict(
        type=dataset_type, data_root=data_root, ann_file='ImageSets/Context/train.txt', pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/Context/val.txt',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MultiTaskEvaluator', metrics=[])  # one metric per task, from `tasks`
test_evaluator = val_evaluator
