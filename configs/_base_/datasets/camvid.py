# CamVid: driving video, 360x480, labelled with 11 classes; boundaries are made from the class map. An example of a data
# set of one's own with a subset of the tasks. The folder is data/camvid or what the variable CAMVID_ROOT names.
dataset_type = 'MultiTaskDataset'
data_root = '{{$CAMVID_ROOT:data/camvid}}'
crop_size = (256, 320)

# fmt: off
classes = (
    'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car', 'pedestrian', 'bicyclist')
palette = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0), (192, 128, 128),
    (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192))
# fmt: on
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=11, classes=classes, palette=palette),
    edge=dict(
        type='Edge',
        loss_weight=50.0,
        loss=dict(type='BalancedBCELoss', pos_weight=0.95),
        metric=dict(type='BoundaryMetric', max_dist=0.0075, ground_truth='target'),
    ),
)
labels = dict(
    semseg=dict(type='IdMapReader', dir='labels', ignore=(11,)),
    edge=dict(type='LabelBoundaryReader', dir='labels', ignore=(11,), thin_lines=True),
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
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='CentrePad', divisor=16),
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
            [dict(type='CentrePad', divisor=16)],
            [dict(type='LoadMultiTaskLabels')],
            [dict(type='MarkIgnore')],
            [dict(type='PackMultiTaskInputs')],
        ],
    ),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='splits/train.txt',
        labels=labels,
        missing_labels='raise',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='splits/val.txt',
        labels=labels,
        missing_labels='raise',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MultiTaskEvaluator', metrics=[])  # one metric per task, from `tasks`
test_evaluator = val_evaluator
