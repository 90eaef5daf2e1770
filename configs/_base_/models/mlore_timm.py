# MLoRE on any encoder of timm; a leaf gives `model_name`. Channels, strides, mean, std and the divisor of image sizes
# are the encoder's own. A hierarchical encoder sets the grid by decode_head.reference_level.
model = dict(
    type='MultiTaskEncoderDecoder',
    backbone=dict(type='TimmBackbone', model_name='', pretrained=True, img_size='$crop_size'),
    decode_head=dict(
        type='MLoREDecodeHead',
        img_size='$crop_size',
        embed_dims=384,
        ranks=list(range(16, 129, 8)),
        task_rank=64,
        top_k=9,
        pre_softmax=True,
    ),
    criterion=dict(
        type='MultiTaskCriterion',
        auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=1e-4)),
    ),
)
