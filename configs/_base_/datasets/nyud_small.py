# A small copy of NYUD-v2: photos of 320x240 with four tasks, labels as 8-bit PNGs. In data/nyud_small or the folder
# that the variable NYUD_SMALL_ROOT names: images/*.jpg, segmentation/*.png (39 classes, 255 without a label),
# depth/*.png (metres = (value + 0.5) / 25.5), normals/*.png (white without a label), edge/*.png (0 or 255),
# gt_sets/train.txt and val.txt. Tasks go by id, so new ones are added at the end.
dataset_type = 'MultiTaskDataset'
data_root = '{{$NYUD_SMALL_ROOT:data/nyud_small}}'
crop_size = (240, 320)

# fmt: off
classes = (
    'bed', 'books', 'ceiling', 'chair', 'floor', 'furniture', 'objects', 'picture', 'sofa', 'table', 'tv', 'wall',
    'window')
palette = (
    (255, 187, 120), (78, 71, 183), (92, 193, 61), (188, 189, 34), (152, 223, 138), (31, 119, 180), (94, 106, 211),
    (196, 156, 148), (140, 86, 75), (255, 152, 150), (91, 163, 138), (174, 199, 232), (197, 176, 213))
# The usual 13 classes from the 39 of the files, in their order: wall, floor, cabinet, bed, chair, sofa, table, door ...
to_13 = (
    11, 4, 5, 0, 3, 8, 9, 11, 12, 5, 7, 5, 12, 9, 5, 12, 5, 6, 6, 4, 6, 2, 1, 5, 10, 6, 6, 6, 6, 6, 6, 5, 6, 6, 6, 6, 6,
    6, 5)
# fmt: on
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=13, classes=classes, palette=palette),
    depth=dict(type='Depth'),
    normals=dict(type='SurfaceNormals'),
    edge=dict(
        type='Edge',
        metric=dict(type='BoundaryMetric', max_dist=0.011),
    ),
)
labels = dict(
    semseg=dict(type='IdMapReader', dir='segmentation', id_map=dict(enumerate(to_13))),
    depth=dict(type='ScaledReader', dir='depth', divisor=25.5, offset=0.5, bits=8),
    normals=dict(type='VectorReader', dir='normals', ignore=((255, 255, 255),)),
    edge=dict(type='ScaledReader', dir='edge', divisor=255, bits=8),
)

train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomScale', ratio_range=(0.75, 1.5)),
    dict(type='MultiTaskRandomCrop', crop_size='$crop_size', cat_max_ratio=0.75),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='CentrePad', size='$crop_size'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='CentrePad', size='$crop_size'),
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
            [dict(type='CentrePad', size='$crop_size', divisor=16)],
            [dict(type='LoadMultiTaskLabels')],
            [dict(type='MarkIgnore')],
            [dict(type='PackMultiTaskInputs')],
        ],
    ),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root='$data_root',
        ann_file='gt_sets/train.txt',
        labels=labels,
        missing_labels='raise',
        pipeline='$train_pipeline',
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root='$data_root',
        ann_file='gt_sets/val.txt',
        labels=labels,
        missing_labels='raise',
        pipeline='$test_pipeline',
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MultiTaskEvaluator', metrics=[])  # one metric per task, from `tasks`
test_evaluator = val_evaluator
