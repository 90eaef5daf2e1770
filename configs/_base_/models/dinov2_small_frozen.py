# DINOv2 ViT-S/14 as it is, with its final norm on every level; only what stands on it is trained. The neck brings the
# channels, the largest of which are twenty times as large as the median one, to one scale.
model = dict(
    type='MultiTaskEncoderDecoder',
    backbone=dict(
        type='TimmBackbone', model_name='vit_small_patch14_dinov2.lvd142m', pretrained=True, img_size='$crop_size'
    ),
    frozen_backbone=True,
    neck=dict(type='LevelNorm', in_channels=[384] * 4),
    criterion=dict(type='MultiTaskCriterion'),
)
