# Photos of one's own with two tasks: three classes, and depth in millimetres.
# The folder: photos/*.jpg, classes/*.png (0 unlabelled, 1 shell, 2 floor, 3 things), depth/*.png (16 bits),
# splits/train.txt and splits/val.txt with one name a line, without suffix.
_base_ = [
    '../../configs/_base_/models/mlore_tiny.py',
    '../../configs/_base_/schedules/adam_40k.py',
    '../../configs/_base_/default_runtime.py',
]
data_root = '{{$MINE_ROOT:data/mine}}'
crop_size = (128, 160)  # (H, W) that the network is trained at

# What the labels mean. The order of the tasks is stored in checkpoints: add new ones at the end.
tasks = dict(
    semseg=dict(
        type='SemSeg',
        out_channels=3,
        classes=('shell', 'floor', 'things'),
        palette=((128, 128, 160), (160, 110, 70), (220, 80, 60)),
    ),
    depth=dict(type='Depth', loss_weight=1.0),
)
# Where the labels are and how the files are read.
labels = dict(
    semseg=dict(type='IdMapReader', dir='classes', ignore=(0,), offset=-1),
    depth=dict(type='ScaledReader', dir='depth', divisor=1000, bits=16),
)

train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomScale', ratio_range=(0.75, 1.5)),
    dict(type='MultiTaskRandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='MultiTaskRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='CentrePad', size=crop_size),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
# Labels are loaded after padding, so they keep the size of the photo; predictions are brought back to it.
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='CentrePad', size=crop_size, divisor=32),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
dataset = dict(
    type='MultiTaskDataset',
    data_root=data_root,
    data_prefix=dict(img='photos'),
    img_suffix='.jpg',
    labels=labels,
    missing_labels='raise',  # 'ignore' where some photos lack some labels
)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(ann_file='splits/train.txt', pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='splits/val.txt', pipeline=test_pipeline, test_mode=True, **dataset),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MultiTaskEvaluator', metrics=[])  # one metric per task comes from `tasks`
test_evaluator = val_evaluator

max_iters = 200
model = dict(decode_head=dict(grid=(16, 20)))  # the decoder works at stride 8: crop_size / 8
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=max_iters + 1, by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=max_iters))
