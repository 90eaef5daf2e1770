# PASCAL-Context in benchmark family A (ASTMT, MTI-Net): its archive PASCAL_MT, pipelines, losses, metrics and batch.
_base_ = ['./pascal_context.py', '../pipelines/warp_stretch.py']
data_root = 'data/PASCAL_MT'
warp = dict(rotation=(-20, 20), zoom=(0.75, 1.25))

tasks = dict(
    sal=dict(
        out_channels=1,
        loss=dict(type='BalancedBCELoss', pos_weight='balanced', threshold=0.5),
        metric=dict(type='SaliencyIoUMetric', eight_bit=True),
    ),
    normals=dict(
        interpolation='cubic',
        loss=dict(type='NormalsL1Loss', average='elements'),
        metric=dict(type='NormalsMetric', eight_bit=True),
    ),
    edge=dict(loss=dict(threshold=0.5)),
)
train_dataloader = dict(batch_size=8, drop_last=True, dataset=dict(pipeline='$stretch_train_pipeline'))
val_dataloader = dict(dataset=dict(pipeline='$stretch_test_pipeline'))
test_dataloader = val_dataloader
tta_pipeline = '$stretch_tta_pipeline'
