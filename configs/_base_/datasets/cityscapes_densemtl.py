# Cityscapes in the protocol of DenseMTL: 16 classes, everything stretched to the network's size and scored there.
_base_ = './cityscapes.py'
crop_size = (512, 1024)
# fmt: off
classes = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'sky',
    'person', 'rider', 'car', 'bus', 'motorcycle', 'bicycle')
palette = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30),
    (220, 220, 0), (107, 142, 35), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100), (0, 0, 230),
    (119, 11, 32))
# fmt: on
tasks = dict(
    semseg=dict(
        out_channels=16,
        classes=classes,
        palette=palette,
        loss_weight=50.0,
        metric=dict(type='IoUMetric', absent='skip'),
    ),
    depth=dict(_delete_=True, type='InverseDepth'),
    normals=dict(loss=dict(type='CosineNormalsLoss'), loss_weight=100.0, metric=dict(type='PerImageNormalsMetric')),
)

stretch = dict(
    type='MultiTaskResize', size='$crop_size', keep_ratio=False, image_interpolation='lanczos', scored_here=True
)
train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    stretch,
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='NormalsFromDepth'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    stretch,
    dict(type='NormalsFromDepth'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
train_dataloader = dict(dataset=dict(classes=16, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(classes=16, pipeline=test_pipeline))
test_dataloader = val_dataloader
