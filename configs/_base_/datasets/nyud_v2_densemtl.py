# NYUD-v2 in the protocol of DenseMTL: everything stretched to the network's size and scored there, flips alone.
_base_ = './nyud_v2.py'
crop_size = (448, 576)
tasks = dict(
    semseg=dict(loss_weight=100.0, metric=dict(type='IoUMetric', absent='skip')),
    depth=dict(_delete_=True, type='InverseDepth'),
    normals=dict(loss=dict(type='CosineNormalsLoss'), loss_weight=100.0, metric=dict(type='PerImageNormalsMetric')),
    edge=dict(
        _delete_=True,
        type='Edge',
        out_channels=2,
        interpolation='bilinear',  # the loss and the metric take what is above 0 for a boundary
        loss=dict(type='WeightedCrossEntropyLoss', class_weights=(0.05, 0.95)),
        metric=dict(type='EdgeF1Metric'),
    ),
)

stretch = dict(
    type='MultiTaskResize', size='$crop_size', keep_ratio=False, image_interpolation='lanczos', scored_here=True
)
train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    stretch,
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    stretch,
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
