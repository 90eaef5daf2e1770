_base_ = [
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/datasets/nyud_small.py',
    '../_base_/schedules/adam_short.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(
        type='MLoREDecodeHead',
        img_size='$crop_size',
        embed_dims=96,
        ranks=list(range(4, 33, 2)),
        task_rank=16,
        top_k=9,
        pre_softmax=True,
    ),
    criterion=dict(auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=1e-4))),
)
