# Family A: Adam at 1e-4 with L2 of 1e-4, no clipping, no warm-up; 100 epochs of a total batch of 8 images. The rate is
# constant within an epoch: in epoch e, counted from 0, it is lr * (1 - e / max_epochs) ** 0.9.
max_epochs = 100
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',  # a frozen encoder stays outside the optimizer
    optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
)
# mmengine reaches eta_min one step before `end`.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end='$max_epochs + 1', by_epoch=True)]

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs='$max_epochs', val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=8)
