# EfficientNet-Lite0, trained with what stands on it; levels of strides 4, 8, 16 and 32, decoded at 16.
model = dict(
    type='MultiTaskEncoderDecoder',
    backbone=dict(type='TimmBackbone', model_name='tf_efficientnet_lite0.in1k', pretrained=True),
    decode_head=dict(reference_level=2),
    criterion=dict(type='MultiTaskCriterion'),
)
