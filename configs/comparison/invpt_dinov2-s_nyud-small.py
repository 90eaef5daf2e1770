_base_ = [
    '../_base_/models/dinov2_small_frozen.py',
    '../_base_/datasets/nyud_small_224x280.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
# Its strides of 32, 16 and 8 are 28, 14 and 7 pixels here: the grid of 16x20 is what it computes with.
model = dict(
    decode_head=dict(type='InvPTHead', in_index=[1, 2, 3], strides=(16, 16, 16), embed_dims=88, extra_dims=8),
    criterion=dict(auxiliary=dict(intermediate=1.0)),
)
tasks = dict(semseg=dict(loss_weight=4.0))
optim_wrapper = dict(optimizer=dict(lr=3e-3))
