_base_ = '../mlore/mlore_r50_nyud.py'

model = dict(
    decode_head=dict(
        _delete_=True,
        type='MultiTaskFCNHead',
        in_channels=[256, 512, 1024, 2048],
        embed_dims=256,
        reference_level=2,
        scale=4,
    ),
    criterion=dict(_delete_=True, type='MultiTaskCriterion'),
)
