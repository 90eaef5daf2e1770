# What holds a decoder back: classes alone, so that no other task interferes, logits on the encoder's grid, photos of
# the training half. --options budget.iterations=600 says what more iterations do.
_base_ = './nyud-small_dinov2-s_tries_half.py'
name = 'Classes alone, on every second photo of the training half'
_mlore = 'configs/comparison/mlore_dinov2-s_nyud-small.py'
_grid = {'model.decode_head.scale': 1}
_plain = {'model.decode_head.identity_init': False}
_cut = {'model.decode_head.detach_generic': True}
systems = {
    '_delete_': True,
    'hard sharing': dict(
        config='configs/comparison/hard-sharing_dinov2-s_nyud-small.py',
        cfg_options={**_grid, 'model.decode_head.embed_dims': 96},  # as wide as MLoRE
    ),
    'linear probe': 'configs/comparison/linear-probe_dinov2-s_nyud-small.py',
    'MLoRE': dict(config=_mlore, cfg_options=_grid),
    'MLoRE, as published': dict(config=_mlore, cfg_options={**_grid, **_plain, **_cut}),
    'MLoRE, generic path detached': dict(config=_mlore, cfg_options={**_grid, **_cut}),
    'MLoRE, blocks begin at random': dict(config=_mlore, cfg_options={**_grid, **_plain}),
    'MLoRE, channels as they come': dict(config=_mlore, cfg_options={**_grid, 'model.neck': None}),
}
tasks = ['semseg']
budget = dict(iterations=150)
