_base_ = './mlore_vitl_nyud.py'
_checkpoint = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_base_p16_384_20220308-96dfe169.pth'
)

# Not a published configuration: the encoder and width of PASCAL ViT-B with the NYUD-v2 routing.
model = dict(
    backbone=dict(arch='base', init_cfg=dict(checkpoint=_checkpoint)),
    decode_head=dict(in_channels=[768] * 4, embed_dims=640),
)
