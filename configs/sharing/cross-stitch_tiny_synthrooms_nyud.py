_base_ = './deeplab_tiny_synthrooms_nyud.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='EncodersInStep',
        encoder='$encoder',
        exchange=dict(type='CrossStitch', alpha=0.8, beta=0.05),
    )
)
