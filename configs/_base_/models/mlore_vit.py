# MLoRE on the plain ViT; a leaf gives the encoder's size, the decoder's width and ranks.
_pretrained = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/'
_checkpoint = _pretrained + 'vit_large_p16_384_20220308-d4efb41d.pth'

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=16),
    backbone=dict(
        type='PlainViT',
        arch='large',
        img_size='$crop_size',
        drop_path_rate=0.15,
        init_cfg=dict(type='Pretrained', checkpoint=_checkpoint),
    ),
    decode_head=dict(
        type='MLoREDecodeHead',
        in_channels=[1024] * 4,
        embed_dims=452,
        ranks=list(range(16, 129, 8)),
        task_rank=72,
        top_k=9,
        pre_softmax=False,
        grid='$ceil(crop_size / 16)',
    ),
    criterion=dict(
        type='MultiTaskCriterion',
        auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=3e-4)),
    ),
    test_cfg=dict(mode='whole'),
)
