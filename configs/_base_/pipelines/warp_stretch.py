# The pipelines of benchmark family A (ASTMT, MTI-Net, M3ViT): in training a flip and a `warp` about the centre, then
# every image is stretched to `crop_size`. A data set inherits this file beside its own, sets `warp`, and hands
# `stretch_train_pipeline` and `stretch_test_pipeline` on.
# `eval_at` is 'original', as published: predictions are brought back to the size of the file and scored there; 'input'
# scores them at `crop_size`.
eval_at = 'original'
warp = dict(type='MultiTaskRandomWarp')
# Metres keep their values where an image is stretched; the warp divides them by its zoom.
stretch = dict(
    type='MultiTaskResize', size='$crop_size', keep_ratio=False, image_interpolation='cubic', rescale_values=False
)

stretch_train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    '$warp',
    dict(eval_at='input', **stretch),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
stretch_test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(eval_at='$eval_at', **stretch),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
stretch_tta_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(eval_at='$eval_at', **stretch)],
            [dict(type='RandomFlip', prob=flip, direction='horizontal') for flip in (0.0, 1.0)],
            [dict(type='MarkIgnore')],
            [dict(type='PackMultiTaskInputs')],
        ],
    ),
]
