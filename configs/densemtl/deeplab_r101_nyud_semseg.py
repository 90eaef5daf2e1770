_base_ = './deeplab_r101_nyud_sdne.py'

# The single-task baseline: loss weight 1, SGD. For depth, normals and edges change `task_names`.
task_names = ['semseg']
tasks = dict(
    semseg=dict(loss_weight=1.0),
    depth=dict(loss_weight=1.0),
    normals=dict(loss_weight=1.0),
    edge=dict(loss_weight=1.0),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=1e-2, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
