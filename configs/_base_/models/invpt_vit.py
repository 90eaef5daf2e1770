# InvPT on the plain ViT with its class token.
_pretrained = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/'
_checkpoint = _pretrained + 'vit_large_p16_384_20220308-d4efb41d.pth'

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=64),
    backbone=dict(
        type='PlainViT',
        arch='large',
        img_size='$crop_size',
        out_indices=[5, 11, 23],
        drop_path_rate=0.15,
        with_cls_token=True,
        init_cfg=dict(type='Pretrained', checkpoint=_checkpoint),
    ),
    decode_head=dict(type='InvPTHead', in_channels=[1024] * 3, embed_dims=512, extra_dims=64),
    criterion=dict(type='MultiTaskCriterion', auxiliary=dict(intermediate=1.0)),
    test_cfg=dict(mode='whole'),
)
