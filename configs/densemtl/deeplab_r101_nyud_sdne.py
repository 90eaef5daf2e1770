_base_ = './densemtl_r101_nyud_sdne.py'

# One DeepLab head per task: the multi-task baseline of the paper.
model = dict(
    decode_head=dict(
        _delete_=True,
        type='PerTaskHead',
        in_channels=[2048],
        in_index=[4],
        head=dict(type='DeepLabHead', in_channels=2048),
    ),
    criterion=dict(_delete_=True, type='MultiTaskCriterion'),
)
