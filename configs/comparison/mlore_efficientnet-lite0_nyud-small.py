_base_ = [
    '../_base_/models/mlore_96.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/datasets/nyud_small.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head={{_base_.mlore_96}}, criterion=dict(auxiliary_losses=dict(load_balance={{_base_.load_balance}}))
)
