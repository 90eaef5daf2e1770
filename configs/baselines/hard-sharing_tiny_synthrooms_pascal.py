_base_ = '../mlore/mlore_tiny_synthrooms_pascal.py'

model = dict(
    decode_head=dict(
        _delete_=True,
        type='MultiTaskFCNHead',
        in_channels=[64, 128, 256],
        in_index=[1, 2, 3],
        embed_dims=48,
        scale=4,
    ),
    criterion=dict(_delete_=True, type='MultiTaskCriterion'),
)
