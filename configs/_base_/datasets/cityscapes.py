# Cityscapes as it is downloaded: leftImg8bit, gtFine, disparity, camera. 2975 training and 500 validation images,
# 1024x2048, at half size here. Normals come from depth and the intrinsics, which follow the size of the image.
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
crop_size = (512, 1024)
num_classes = 19  # or 16, with `tasks.semseg.out_channels=16` and no names

# fmt: off
classes = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain',
    'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
palette = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30),
    (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142),
    (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32))
# fmt: on
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=num_classes, classes=classes, palette=palette),
    depth=dict(type='Depth', zoom_rule=False),
    normals=dict(type='SurfaceNormals'),
)

train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskResize', size='$crop_size', keep_ratio=False),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='NormalsFromDepth'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
# Labels are loaded after resizing: predictions are brought back to the original image and scored there.
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='MultiTaskResize', size='$crop_size', keep_ratio=False),
    dict(type='LoadMultiTaskLabels'),
    dict(type='NormalsFromDepth'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type=dataset_type, data_root='$data_root', split='train', classes=num_classes, pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root='$data_root',
        split='val',
        classes=num_classes,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='MultiTaskEvaluator', metrics=[])  # one metric per task, from `tasks`
test_evaluator = val_evaluator
