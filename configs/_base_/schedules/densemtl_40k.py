# DenseMTL's schedule: Adam, 40,000 iterations of 2 images, the rate divided by 10 at 30,000. `lr` is that of decoders
# and exchange on NYUD-v2, the encoder learns at 2/3 of it.
max_iters = 40000
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',
    optimizer=dict(type='Adam', lr=3e-4, betas=(0.9, 0.98), weight_decay=0.0),
    clip_grad=dict(max_norm=10),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=2 / 3))),
)
param_scheduler = [
    dict(type='MultiStepLR', milestones=['$max_iters * 3 // 4'], gamma=0.1, begin=0, end='$max_iters', by_epoch=False)
]

train_cfg = dict(type='IterBasedTrainLoop', max_iters='$max_iters', val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=2)
