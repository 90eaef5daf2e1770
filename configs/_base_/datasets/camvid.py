# CamVid: driving video, 360x480, labelled with 11 classes; boundaries are made from the class map. An example of a data
# set of one's own with a subset of the tasks. The folder is data/camvid or what the variable CAMVID_ROOT names.
_base_ = '../pipelines/scale_crop_pad.py'
data_root = '{{$CAMVID_ROOT:data/camvid}}'
crop_size = (256, 320)

# fmt: off
classes = (
    'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car', 'pedestrian', 'bicyclist')
palette = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0), (192, 128, 128),
    (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192))
# fmt: on
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=11, classes=classes, palette=palette),
    edge=dict(
        type='Edge',
        metric=dict(type='BoundaryMetric', max_dist=0.0075, ground_truth='target'),
    ),
)
labels = dict(
    semseg=dict(type='IdMapReader', dir='labels', ignore=(11,)),
    edge=dict(type='LabelBoundaryReader', dir='labels', ignore=(11,), thin_lines=True),
)

test_pad = dict(_delete_=True, type='CentrePad', divisor=16)

dataset = dict(type='MultiTaskDataset', labels=labels, missing_labels='raise')
train_dataloader = dict(num_workers=2, dataset=dict(ann_file='splits/train.txt', **dataset))
val_dataloader = dict(num_workers=2, dataset=dict(ann_file='splits/val.txt', **dataset))
test_dataloader = val_dataloader
