# MLoRE on a hierarchical backbone with strides 4, 8, 16 and 32: all levels are brought to stride 16.
# A leaf gives the backbone and `in_channels`.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=32),
    backbone=dict(),
    decode_head=dict(
        type='MLoREDecodeHead',
        in_channels=[128, 256, 512, 1024],
        reference_level=2,
        embed_dims=384,
        ranks=list(range(16, 129, 8)),
        task_rank=64,
        top_k=9,
        pre_softmax=False,
        grid='$ceil(crop_size / 16)',
    ),
    criterion=dict(
        type='MultiTaskCriterion',
        auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=1e-4)),
    ),
    test_cfg=dict(mode='whole'),
)
