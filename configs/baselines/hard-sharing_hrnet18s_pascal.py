_base_ = [
    '../_base_/models/hrnet18s.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/adam_family_a.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(
        type='PerTaskHead',
        in_channels=[18, 36, 72, 144],
        head=dict(type='LevelFusionHead', in_channels=[18, 36, 72, 144]),
    ),
    criterion=dict(type='MultiTaskCriterion'),
)
