# The small copy of NYUD-v2 for encoders with patches of 14: crops of 224x280, photos of 320x240 seen whole at 280x210.
_base_ = './nyud_small.py'
crop_size = (224, 280)
scale_range = (0.75, 1.25)
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='Resize', scale_factor=0.875, keep_ratio=True),
    dict(type='CentrePad', size='$crop_size'),
    dict(type='LoadMultiTaskLabels'),  # at the size of the photo, at which predictions are scored
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
