# A small copy of NYUD-v2: photos of 320x240 with four tasks, labels as 8-bit PNGs. In data/nyud_small or the folder
# that the variable NYUD_SMALL_ROOT names: images/*.jpg, segmentation/*.png (39 classes, 255 without a label),
# depth/*.png (metres = (value + 0.5) / 25.5), normals/*.png (white without a label), edge/*.png (0 or 255),
# gt_sets/train.txt and val.txt. Tasks go by id, so new ones are added at the end.
_base_ = '../pipelines/scale_crop_pad.py'
data_root = '{{$NYUD_SMALL_ROOT:data/nyud_small}}'
crop_size = (240, 320)
scale_range = (0.75, 1.5)

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

dataset = dict(type='MultiTaskDataset', labels=labels, missing_labels='raise')
train_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(ann_file='gt_sets/train.txt', **dataset))
val_dataloader = dict(num_workers=2, dataset=dict(ann_file='gt_sets/val.txt', **dataset))
test_dataloader = val_dataloader
