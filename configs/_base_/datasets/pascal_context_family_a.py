# PASCAL-Context with the losses, metrics and batch of benchmark family A (ASTMT, MTI-Net).
_base_ = './pascal_context.py'

tasks = dict(
    sal=dict(
        out_channels=1,
        loss=dict(type='BalancedBCELoss', pos_weight='balanced', threshold=0.5),
        metric=dict(type='SaliencyIoUMetric', eight_bit=True),
    ),
    normals=dict(
        loss=dict(type='NormalsL1Loss', average='elements'), metric=dict(type='NormalsMetric', eight_bit=True)
    ),
    edge=dict(loss=dict(threshold=0.5)),
)
train_dataloader = dict(batch_size=8, drop_last=True)
