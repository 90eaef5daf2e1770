# Taskonomy: the dense ones of the 13 tasks of Mod-Squad, 512x512 resized to 256x256 and cropped. Buildings belong to a
# split by the table that comes with the data, those of the sizes tiny, medium, full or fullplus.
data_root = 'data/taskonomy'
split_file = 'train_val_test_tiny.csv'
crop_size = (224, 224)
resized = (256, 256)

regression = dict(type='DenseRegression', interpolation='bilinear')
depth = dict(type='LogDepth', interpolation='bilinear', metric=dict(type='DepthMetric', max_depth=128.0))
tasks = dict(
    depth_euclidean=depth,
    depth_zbuffer=depth,
    normal=dict(type='SurfaceNormals', interpolation='bilinear', loss_weight=1.0, loss=dict(type='DirectionLoss')),
    principal_curvature=dict(
        type='DenseRegression', interpolation='bilinear', out_channels=2, loss=dict(type='MaskedMSELoss')
    ),
    edge_occlusion=regression,
    edge_texture=regression,
    keypoints2d=regression,
    keypoints3d=regression,
    reshading=regression,
    segment_unsup2d=regression,
    segment_unsup25d=regression,
)

train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskResize', size=resized, keep_ratio=False),
    dict(type='MultiTaskRandomCrop', crop_size='$crop_size', cat_max_ratio=1.0),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
test_pipeline = [  # scored on what the network sees
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskResize', size=resized, keep_ratio=False, scored_here=True),
    dict(type='MultiTaskCentreCrop', crop_size='$crop_size'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]

train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='TaskonomyDataset',
        data_root='$data_root',
        split='train',
        split_file='$split_file',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TaskonomyDataset',
        data_root='$data_root',
        split='val',
        split_file='$split_file',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MultiTaskEvaluator', metrics=[])  # one metric per task, from `tasks`
test_evaluator = val_evaluator
