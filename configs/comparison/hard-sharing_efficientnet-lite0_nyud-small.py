_base_ = [
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/datasets/nyud_small.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(type='MultiTaskFCNHead', embed_dims=96, scale=4))
