_base_ = [
    '../_base_/models/densemtl_r101.py',
    '../_base_/datasets/nyud_v2_densemtl.py',
    '../_base_/schedules/densemtl_40k.py',
    '../_base_/default_runtime.py',
]
