_base_ = [
    '../_base_/models/pad_net_hrnet18s.py',
    '../_base_/datasets/pascal_astmt.py',
    '../_base_/schedules/adam_family_a.py',
    '../_base_/default_runtime.py',
]
