"""PAD-Net and MTI-Net against the numbers of the published implementation, legacy layout and ours."""

import pytest
import torch

from tests.golden_astmt import Golden, run

MODELS = [
    ('padnet_nyud', ''),
    ('padnet_pascal', ''),
    ('mtinet_nyud', 'legacy'),
    ('mtinet_nyud', 'corrected'),
    ('mtinet_pascal', 'legacy'),
    ('mtinet_pascal', 'corrected'),
]


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize(('name', 'mode'), MODELS, ids=['-'.join(model) for model in MODELS])
def test_every_number(name, mode, dtype):
    rows = list(run(Golden(name, mode, dtype)))
    assert len(rows) > 100
    wrong = [
        f'{what}: {deviation:.2e} above {tolerance:.0e}'
        for what, deviation, tolerance in rows
        if not deviation <= tolerance
    ]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('mode', ['legacy', 'corrected'])
@pytest.mark.parametrize('name', ['mtinet_nyud', 'mtinet_pascal'])
def test_inside_of_a_scale(name, mode):
    golden = Golden(name, mode)
    head, wanted = golden.head().eval(), golden.expected['modules_eval']['scale_3']
    features = wanted['features']
    with torch.no_grad():
        joint = torch.cat([features[task] for task in head.task_order], dim=1)
        found = dict(
            fpm_logits=head.propagation['3'].mask(joint),
            fpm=head.propagation['3'](features),
            distilled=head.distillation[3](features),
        )
    for part, maps in found.items():
        torch.testing.assert_close(maps, wanted[part], rtol=1e-9, atol=1e-9)
