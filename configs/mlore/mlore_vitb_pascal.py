_base_ = './mlore_vitl_pascal.py'
_checkpoint = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_base_p16_384_20220308-96dfe169.pth'
)

tasks = dict(edge=dict(loss=dict(pos_weight=0.95)))
model = dict(
    backbone=dict(arch='base', init_cfg=dict(checkpoint=_checkpoint)),
    decode_head=dict(in_channels=[768] * 4, embed_dims=640, task_rank=64),
    criterion=dict(auxiliary_losses=dict(load_balance=dict(loss_weight=1e-4))),
)
