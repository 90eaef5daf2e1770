_base_ = [
    '../_base_/models/invpt_vit.py',
    '../_base_/datasets/nyud_v2.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
tasks = dict(edge=dict(loss=dict(pos_weight=0.95)))
optim_wrapper = dict(clip_grad=None)  # as published
auto_scale_lr = dict(base_batch_size=6)  # 2 images on each of 3 GPUs
