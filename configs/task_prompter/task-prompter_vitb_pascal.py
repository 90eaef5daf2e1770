_base_ = './task-prompter_vitl_pascal.py'
_checkpoint = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_base_p16_384_20220308-96dfe169.pth'
)

model = dict(
    backbone=dict(arch='base', channel_windows=16, init_cfg=dict(checkpoint=_checkpoint)),
    decode_head=dict(in_channels=[768] * 4, embed_dims=780, final_dims=1024, num_heads=12),
)
