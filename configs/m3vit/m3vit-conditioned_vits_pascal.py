_base_ = [
    '../_base_/models/m3vit.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/sgd_family_a.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
# One router for all tasks, which is told the task; trained as published, one task after the other, without attention.
model = dict(backbone=dict(gate='conditioned', task_dims=64), train_cfg=dict(step='one_by_one'))
