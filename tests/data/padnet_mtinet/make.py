"""Cuts the essential numbers out of the reference data; run in this folder with the path of golden/padnet_mtinet."""

import sys
from pathlib import Path

import torch

SOURCE, HERE = Path(sys.argv[1]), Path(__file__).parent


def read(name: str) -> dict:
    return torch.load(SOURCE / name, weights_only=True)


expected = read('padnet_nyud_expected.pth')
for key in ('grads', 'bn_after_forward', 'train_outputs', 'after_step_eval_outputs'):
    expected[key] = {}
expected['eval_outputs'] = {}
# One tensor, as 250 small ones would take half as much again.
weights = {key: x for key, x in read('padnet_nyud_checkpoint.pth').items() if x.is_floating_point()}
packed = dict(flat=torch.cat([x.flatten() for x in weights.values()]), shapes={k: tuple(x.shape) for k, x in weights.items()})
assert packed['flat'].dtype == torch.float16
torch.save(packed, HERE / 'padnet_nyud_checkpoint.pth')
torch.save({key: value for key, value in expected.items() if key != 'modules_eval'}, HERE / 'padnet_nyud_expected.pth')
(HERE / 'padnet_nyud_meta.json').write_text((SOURCE / 'padnet_nyud_meta.json').read_text())

checkpoint, expected = read('mtinet_nyud_checkpoint.pth'), read('mtinet_nyud_expected.pth')
scale = {mode: expected[mode]['modules_eval']['scale_3'] for mode in ('legacy', 'corrected')}
parts = ('module.fpm_scale_3.dimensionality_reduction.', 'module.fpm_scale_3.se.')
assert torch.equal(scale['legacy']['fpm_logits'], scale['corrected']['fpm_logits'])
torch.save(
    dict(
        state={key: value for key, value in checkpoint.items() if key.startswith(parts)},
        features=scale['legacy']['features'],
        fpm_logits=scale['legacy']['fpm_logits'],
        fpm={mode: maps['fpm'] for mode, maps in scale.items()},
    ),
    HERE / 'mtinet_nyud_scale_3.pth',
)
