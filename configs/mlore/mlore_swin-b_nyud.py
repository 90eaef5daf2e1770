_base_ = [
    '../_base_/models/mlore_hierarchical.py',
    '../_base_/datasets/nyud_v2.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
_checkpoint = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/swin_base_patch4_window7_224_20220317-e9b98025.pth'

model = dict(
    backbone=dict(
        type='mmseg.SwinTransformer',
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=7,
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint=_checkpoint),
    ),
    decode_head=dict(pre_softmax=True),
    criterion=dict(auxiliary_losses=dict(load_balance=dict(loss_weight=5e-4))),
)
