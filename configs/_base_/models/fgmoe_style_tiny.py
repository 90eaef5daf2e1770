# An FGMoE-style model small enough to train from scratch on two CPU cores; its encoder is trained, as nothing is there
# to freeze.
_base_ = './mlore_tiny.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='FGMoEHead',
        in_channels=[64, 128, 256],
        in_index=[1, 2, 3],
        embed_dims=32,
        upsamples=1,
    ),
    criterion=dict(
        _delete_=True,
        type='MultiTaskCriterion',
        auxiliary_losses=dict(balance=dict(type='ExpertShareLoss', loss_weight=0.01)),
    ),
)
