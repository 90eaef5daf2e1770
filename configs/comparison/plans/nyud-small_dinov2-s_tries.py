# Five tries for each system of the plan beside this one, chosen among on the training half alone: two of three photos
# train, the third validates. Three rates; then, at the best of them, four times the weight on the classes, and a width
# half as large again (the probe has none: a fourth rate). What was best stands in the system's config.
_base_ = './nyud-small_dinov2-s.py'
name = 'Tries, on photos of the training half'
_rate, _width, _classes = 'optim_wrapper.optimizer.lr', 'model.decode_head.embed_dims', 'tasks.semseg.loss_weight'


def _pyramid(width):
    return {'model.neck.then.out_channels': width, 'model.decode_head.in_channels': [width] * 4}


# system: config, best rate, and the options of the two widths
_tried = {
    'MLoRE': ('mlore', 1e-3, {_width: 96}, {_width: 144}),
    'hard sharing': ('hard-sharing', 1e-3, {_width: 96}, {_width: 144}),
    'InvPT': ('invpt', 3e-3, {}, {_width: 132, 'model.decode_head.extra_dims': 12}),
    'FGMoE-style': ('fgmoe-style', 1e-3, {_width: 96}, {_width: 144}),
    'PAD-Net': ('pad-net', 1e-3, {**_pyramid(48), _width: 48}, {**_pyramid(72), _width: 72}),
    'DenseMTL': (
        'densemtl',
        1e-3,
        {**_pyramid(48), 'model.decode_head.channels': [48] * 4},
        {**_pyramid(72), 'model.decode_head.channels': [72] * 4},
    ),
    'linear probe': ('linear-probe', 1e-2, {}, {_rate: 3e-2}),
}
systems = dict(_delete_=True)
for _system, (_name, _best, _narrow, _wide) in _tried.items():
    for _label, _options in {
        **{f'{rate:g}': {_rate: rate, **_narrow} for rate in (1e-3, 3e-3, 1e-2)},
        f'{_best:g}, classes weigh 4': {_rate: _best, **_narrow, _classes: 4.0},
        f'{_wide[_rate]:g}' if _rate in _wide else f'{_best:g}, wider': {_rate: _best, **_wide},
    }.items():
        systems[f'{_system}, {_label}'] = dict(
            config=f'configs/comparison/{_name}_dinov2-s_nyud-small.py', cfg_options={_classes: 1.0, **_options}
        )
single_task = None
_held_out = list(range(2, 491, 3))
data = dict(
    name='photos of the training half of NYUD-v2 in small',
    cfg_options={
        'train_dataloader.dataset.indices': [i for i in range(491) if i % 3 != 2],
        'val_dataloader.dataset.ann_file': 'gt_sets/train.txt',
        'val_dataloader.dataset.indices': _held_out,
    },
)
budget = dict(iterations=100)
seeds = [0]
