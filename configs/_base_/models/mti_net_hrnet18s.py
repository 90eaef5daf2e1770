_base_ = './hrnet18s.py'
model = dict(
    decode_head=dict(type='MTINetHead', in_channels=[18, 36, 72, 144]),
    criterion=dict(type='MultiTaskCriterion', auxiliary=dict(scale_0=1.0, scale_1=1.0, scale_2=1.0, scale_3=1.0)),
)
