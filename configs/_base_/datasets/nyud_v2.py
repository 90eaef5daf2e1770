# NYUD-v2: 795 training and 654 test images of rooms, 425x560. Tasks go by id, so new ones are added at the end.
_base_ = '../pipelines/scale_crop_pad.py'
data_root = 'data/NYUDv2'
crop_size = (448, 576)

# fmt: off
classes = (
    'wall', 'floor', 'cabinet', 'bed', 'chair', 'sofa', 'table', 'door', 'window', 'bookshelf', 'picture', 'counter',
    'blinds', 'desk', 'shelves', 'curtain', 'dresser', 'pillow', 'mirror', 'floor mat', 'clothes', 'ceiling', 'books',
    'refrigerator', 'television', 'paper', 'towel', 'shower curtain', 'box', 'whiteboard', 'person', 'night stand',
    'toilet', 'sink', 'lamp', 'bathtub', 'bag', 'other structure', 'other furniture', 'other prop')
palette = (
    (174, 199, 232), (152, 223, 138), (31, 119, 180), (255, 187, 120), (188, 189, 34), (140, 86, 75), (255, 152, 150),
    (214, 39, 40), (197, 176, 213), (148, 103, 189), (196, 156, 148), (23, 190, 207), (178, 76, 76), (247, 182, 210),
    (66, 188, 102), (219, 219, 141), (140, 57, 197), (202, 185, 52), (51, 176, 203), (200, 54, 131), (92, 193, 61),
    (78, 71, 183), (172, 114, 82), (255, 127, 14), (91, 163, 138), (153, 98, 156), (140, 153, 101), (158, 218, 229),
    (100, 125, 154), (178, 127, 135), (120, 185, 128), (146, 111, 194), (44, 160, 44), (112, 128, 144), (96, 207, 209),
    (227, 119, 194), (213, 92, 176), (94, 106, 211), (82, 84, 163), (100, 85, 144))
# fmt: on
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=40, classes=classes, palette=palette),
    depth=dict(type='Depth'),
    normals=dict(type='SurfaceNormals'),
    edge=dict(
        type='Edge',
        loss=dict(pos_weight=0.88),
        metric=dict(type='BoundaryMetric', max_dist=0.011),
    ),
)

train_dataloader = dict(dataset=dict(type='NYUDv2Dataset', ann_file='gt_sets/train.txt'))
val_dataloader = dict(dataset=dict(type='NYUDv2Dataset', ann_file='gt_sets/val.txt'))
test_dataloader = val_dataloader
