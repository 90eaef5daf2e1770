# Photos of one's own with two tasks: three classes, and depth in millimetres.
# The folder: photos/*.jpg, classes/*.png (0 unlabelled, 1 shell, 2 floor, 3 things), depth/*.png (16 bits),
# splits/train.txt and splits/val.txt with one name a line, without suffix.
_base_ = [
    '../../configs/_base_/models/mlore_tiny.py',
    '../../configs/_base_/pipelines/scale_crop_pad.py',
    '../../configs/_base_/schedules/adam_40k.py',
    '../../configs/_base_/default_runtime.py',
]
# These reach every place that uses them, also from the command line: --cfg-options max_iters=30 data_root=DIR
data_root = '{{$MINE_ROOT:data/mine}}'
crop_size = (128, 160)  # (H, W) that the network is trained at
scale_range = (0.75, 1.5)
max_iters = 200

# What the labels mean. The order of the tasks is stored in checkpoints: add new ones at the end.
tasks = dict(
    semseg=dict(
        type='SemSeg',
        out_channels=3,
        classes=('shell', 'floor', 'things'),
        palette=((128, 128, 160), (160, 110, 70), (220, 80, 60)),
    ),
    depth=dict(type='Depth'),
)
# Where the labels are and how the files are read.
dataset = dict(
    type='MultiTaskDataset',
    data_prefix=dict(img='photos'),
    img_suffix='.jpg',
    labels=dict(
        semseg=dict(type='IdMapReader', dir='classes', ignore=(0,), offset=-1),
        depth=dict(type='ScaledReader', dir='depth', divisor=1000, bits=16),
    ),
    missing_labels='raise',  # 'ignore' where some photos lack some labels
)
train_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(ann_file='splits/train.txt', **dataset))
val_dataloader = dict(num_workers=2, dataset=dict(ann_file='splits/val.txt', **dataset))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(val_interval='$max_iters')
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval='$max_iters'))
