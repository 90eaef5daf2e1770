# A short training of a decoder: Adam with a warm-up over a tenth of it, then polynomial decay to zero.
_base_ = './adam_40k.py'
max_iters = 300
warmup = '$ceil(max_iters / 10)'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end='$warmup', by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0, begin='$warmup', end='$max_iters + 1', by_epoch=False),
]
train_cfg = dict(val_interval='$max_iters')
