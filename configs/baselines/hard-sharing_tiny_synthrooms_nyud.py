_base_ = '../mlore/mlore_tiny_synthrooms_nyud.py'

model = dict(
    decode_head=dict(
        _delete_=True,
        type='MultiTaskFCNHead',
        in_channels=[32, 64, 128, 256],
        embed_dims=48,
        reference_level=1,
        scale=4,
    ),
    criterion=dict(_delete_=True, type='MultiTaskCriterion'),
)
