_base_ = [
    '../_base_/models/dinov2_small_frozen.py',
    '../_base_/datasets/nyud_small_224x280.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(type='MultiTaskFCNHead', embed_dims=144, scale=4))
