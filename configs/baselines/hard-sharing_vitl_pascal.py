_base_ = '../mlore/mlore_vitl_pascal.py'

model = dict(
    decode_head=dict(_delete_=True, type='MultiTaskFCNHead', in_channels=[1024] * 4, embed_dims=256, scale=4),
    criterion=dict(_delete_=True, type='MultiTaskCriterion'),
)
