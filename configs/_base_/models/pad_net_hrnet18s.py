_base_ = './hrnet18s.py'
model = dict(
    decode_head=dict(type='PADNetHead', in_channels=[18, 36, 72, 144], embed_dims=256),
    criterion=dict(type='MultiTaskCriterion', auxiliary=dict(initial=1.0)),
)
