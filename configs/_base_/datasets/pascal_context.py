# PASCAL-Context: 4,998 training and 5,105 validation photos. Tasks go by id, so new ones are added at the end.
_base_ = '../pipelines/scale_crop_pad.py'
data_root = 'data/PASCALContext'
crop_size = (512, 512)

# fmt: off
classes = (
    'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable',
    'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor')
# fmt: on
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=21, classes=classes),  # drawn in the colours of PASCAL VOC
    human_parts=dict(type='HumanParts'),
    sal=dict(type='Saliency'),
    normals=dict(type='SurfaceNormals'),
    edge=dict(
        type='Edge',
        metric=dict(type='BoundaryMetric', max_dist=0.0075),
    ),
)

train_dataloader = dict(dataset=dict(type='PASCALContextDataset', ann_file='ImageSets/Context/train.txt'))
val_dataloader = dict(dataset=dict(type='PASCALContextDataset', ann_file='ImageSets/Context/val.txt'))
test_dataloader = val_dataloader
