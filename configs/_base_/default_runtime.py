default_scope = 'mlore_mm'
custom_imports = dict(imports=['mlore_mm'], allow_failed_imports=False)
runner_type = 'mlore_mm.MultiTaskRunner'  # hands `tasks` to model, data sets and evaluators; see its docstring

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),  # gloo where there is no accelerator
)
sync_bn = 'torch'  # in distributed training; plain batch norm on one device, our own synchronised one on CPUs

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # save_best: a headline such as 'semseg/mIoU', 'delta_m', or 'auto' for the headline of the first task.
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=4000, max_keep_ckpts=2, save_best='auto'),
    nonfinite=dict(type='NonFiniteHook', action='raise'),  # or 'skip'
    labels=dict(type='LabelCheckHook', samples=16),  # looks at some labels before training; 0 does not
    preemption=dict(type='PreemptionHook'),  # SIGTERM saves and ends
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='MultiTaskVisualizationHook', draw=False, interval=50),
)

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='MultiTaskVisualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
