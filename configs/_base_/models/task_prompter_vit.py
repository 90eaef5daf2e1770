# TaskPrompter on the plain ViT; a leaf gives widths and windows. The size of the input is part of the weights.
_pretrained = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/'
_checkpoint = _pretrained + 'vit_large_p16_384_20220308-d4efb41d.pth'

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=16),
    backbone=dict(
        type='TaskPrompterViT',
        arch='large',
        img_size='$crop_size',
        channel_windows=1,
        drop_path_rate=0.15,
        init_cfg=dict(type='Pretrained', checkpoint=_checkpoint),
    ),
    decode_head=dict(
        type='TaskPrompterHead',
        in_channels=[1024] * 4,
        embed_dims=300,
        final_dims=350,
        num_heads=16,
        cross_task=True,
    ),
    criterion=dict(type='MultiTaskCriterion'),
    test_cfg=dict(mode='whole'),
)
