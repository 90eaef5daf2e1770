# Ours: all four tasks of NYUD-v2, and no task attention.
_base_ = [
    '../_base_/models/m3vit.py',
    '../_base_/datasets/nyud_astmt.py',
    '../_base_/schedules/sgd_family_a.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
