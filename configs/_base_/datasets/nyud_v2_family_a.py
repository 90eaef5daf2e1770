# NYUD-v2 with the losses, metrics, size and batch of benchmark family A (ASTMT, MTI-Net).
_base_ = './nyud_v2.py'
crop_size = (480, 640)

tasks = dict(
    normals=dict(
        loss=dict(type='NormalsL1Loss', average='elements'), metric=dict(type='NormalsMetric', eight_bit=True)
    ),
    edge=dict(loss=dict(pos_weight=0.95, threshold=0.5)),
)
train_dataloader = dict(batch_size=8, drop_last=True)
