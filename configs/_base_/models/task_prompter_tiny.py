# A TaskPrompter small enough to train from scratch on two CPU cores: patches of 8 pixels and a narrow ViT.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=8),
    backbone=dict(
        type='TaskPrompterViT',
        arch=dict(embed_dims=96, num_layers=4, num_heads=4),
        img_size='$crop_size',
        patch_size=8,
        channel_windows=4,
        drop_path_rate=0.0,
    ),
    decode_head=dict(
        type='TaskPrompterHead',
        in_channels=[96] * 4,
        embed_dims=32,
        final_dims=32,
        num_heads=4,
        cross_task=True,
        scale=4,
    ),
    criterion=dict(type='MultiTaskCriterion'),
    test_cfg=dict(mode='whole'),
)
