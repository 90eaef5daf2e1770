_base_ = [
    '../_base_/models/mlore_96.py',
    '../_base_/models/dinov2_small_frozen.py',
    '../_base_/datasets/nyud_small_224x280.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head={{_base_.mlore_96}}, criterion=dict(auxiliary_losses=dict(load_balance={{_base_.load_balance}}))
)
tasks = dict(semseg=dict(loss_weight=4.0))
