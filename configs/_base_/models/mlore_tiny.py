# A MLoRE small enough to train from scratch on two CPU cores: a ResNet-18 of half width, decoded at stride 8.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=32),
    backbone=dict(
        type='mmseg.ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
    ),
    decode_head=dict(
        type='MLoREDecodeHead',
        in_channels=[64, 128, 256],
        in_index=[1, 2, 3],
        embed_dims=48,
        ranks=[4, 6, 8, 10, 12],
        task_rank=6,
        top_k=3,
        pre_softmax=True,
        grid='$ceil(crop_size / 8)',
    ),
    criterion=dict(
        type='MultiTaskCriterion',
        auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=1e-3)),
    ),
    test_cfg=dict(mode='whole'),
)
