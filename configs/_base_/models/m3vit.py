# M3ViT: 16 experts of the encoder's width, 4 per token, a router per task. As published, ViT-S has 12 heads; DeiT-S
# weights were trained with 6, which have to be set where they are loaded.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=16),
    backbone=dict(
        type='M3ViT',
        arch=dict(embed_dims=384, num_layers=12, num_heads=12),
        img_size='$crop_size',
        num_experts=16,
        top_k=4,
        expert_ratio=1,
    ),
    decode_head=dict(type='PUPHead', in_channels=384, embed_dims=256),
    criterion=dict(
        type='MultiTaskCriterion', auxiliary_losses=dict(balance=dict(type='ImportanceLoadLoss', loss_weight=0.01))
    ),
    test_cfg=dict(mode='whole', resize='predictions'),
)
