# The published schedule: Adam, polynomial decay to zero over 40,000 iterations, a total batch of 4 images.
max_iters = 40000
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',  # a frozen encoder stays outside the optimizer
    optimizer=dict(type='Adam', lr=2e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-6),
    clip_grad=dict(max_norm=10),
)
# mmengine reaches eta_min one step before `end`; with one step more the rate at step i is
# lr * (1 - i / max_iters) ** 0.9.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end='$max_iters + 1', by_epoch=False)]

train_cfg = dict(type='IterBasedTrainLoop', max_iters='$max_iters', val_interval=4000)  # and after the last iteration
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

auto_scale_lr = dict(enable=False, base_batch_size=4)
