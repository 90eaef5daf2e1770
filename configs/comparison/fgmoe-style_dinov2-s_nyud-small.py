_base_ = [
    '../_base_/models/dinov2_small_frozen.py',
    '../_base_/datasets/nyud_small_224x280.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(type='FGMoEHead', embed_dims=144),
    criterion=dict(auxiliary_losses=dict(balance=dict(type='ExpertShareLoss', loss_weight=0.01))),
)
