# NYUD-v2 in benchmark family A (ASTMT, MTI-Net): its archive NYUD_MT, pipelines, losses, metrics and batch.
_base_ = ['./nyud_v2.py', '../pipelines/warp_stretch.py']
data_root = 'data/NYUD_MT'
crop_size = (480, 640)
warp = dict(zooms=(1.0, 1.2, 1.5))

tasks = dict(
    normals=dict(
        interpolation='cubic',
        loss=dict(type='NormalsL1Loss', average='elements'),
        metric=dict(type='NormalsMetric', eight_bit=True),
    ),
    edge=dict(loss=dict(pos_weight=0.95, threshold=0.5)),
)
train_dataloader = dict(
    batch_size=8, drop_last=True, dataset=dict(type='NYUDMTDataset', pipeline='$stretch_train_pipeline')
)
val_dataloader = dict(dataset=dict(type='NYUDMTDataset', pipeline='$stretch_test_pipeline'))
test_dataloader = val_dataloader
tta_pipeline = '$stretch_tta_pipeline'
