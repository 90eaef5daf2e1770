_base_ = '../mlore/mlore_swin-b_pascal.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmseg.ResNetV1c',
        depth=50,
        norm_cfg=dict(type='BN', requires_grad=True),
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'),
    ),
    decode_head=dict(
        _delete_=True,
        type='MultiTaskFCNHead',
        in_channels=[256, 512, 1024, 2048],
        embed_dims=256,
        reference_level=2,
        scale=4,
    ),
    criterion=dict(_delete_=True, type='MultiTaskCriterion'),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
