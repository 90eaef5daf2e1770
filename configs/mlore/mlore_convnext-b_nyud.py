_base_ = './mlore_swin-b_nyud.py'
_checkpoint = 'https://download.openmmlab.com/mmclassification/v0/convnext/downstream/convnext-base_3rdparty_32xb128-noema_in1k_20220301-2a0ee547.pth'

custom_imports = dict(imports=['mlore_mm', 'mmpretrain.models'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='base',
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.4,
        gap_before_final_norm=False,
        init_cfg=dict(type='Pretrained', checkpoint=_checkpoint, prefix='backbone.'),
    ),
)
