_base_ = [
    '../_base_/models/task_prompter_vit.py',
    '../_base_/datasets/nyud_v2.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
tasks = dict(edge=dict(loss=dict(pos_weight=0.95)))
model = dict(
    backbone=dict(channel_windows=16),
    decode_head=dict(embed_dims=768, final_dims=768, cross_task=False),
)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
