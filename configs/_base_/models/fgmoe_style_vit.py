# FGMoE-style on a frozen plain ViT: only the decoder is trained. Everything here is a choice of ours.
_pretrained = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/'
_checkpoint = _pretrained + 'vit_large_p16_384_20220308-d4efb41d.pth'

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=16),
    backbone=dict(
        type='PlainViT',
        arch='large',
        img_size='$crop_size',
        init_cfg=dict(type='Pretrained', checkpoint=_checkpoint),
    ),
    frozen_backbone=True,
    decode_head=dict(type='FGMoEHead', in_channels=[1024] * 4, embed_dims=256),
    criterion=dict(
        type='MultiTaskCriterion',
        auxiliary_losses=dict(balance=dict(type='ExpertShareLoss', loss_weight=0.01)),
    ),
    test_cfg=dict(mode='whole'),
)
