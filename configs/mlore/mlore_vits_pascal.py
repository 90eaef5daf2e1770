_base_ = './mlore_vitb_pascal.py'
_checkpoint = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_small_p16_384_20220308-410f6037.pth'
)

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint=_checkpoint)),
    decode_head=dict(in_channels=[384] * 4, embed_dims=192, ranks=list(range(8, 65, 4)), task_rank=32),
)
