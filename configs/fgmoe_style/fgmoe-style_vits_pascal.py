_base_ = './fgmoe-style_vitl_pascal.py'
_checkpoint = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_small_p16_384_20220308-410f6037.pth'
)

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint=_checkpoint)),
    decode_head=dict(in_channels=[384] * 4),
)
