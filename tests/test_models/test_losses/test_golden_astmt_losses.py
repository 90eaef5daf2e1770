"""Losses of benchmark family A against the published values."""

import json

import pytest
import torch

from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet
from tests.golden_astmt import family_a_tasks
from tests.shared import shared_path


@pytest.fixture(params=['pascal', 'nyud'])
def reference(request):
    folder = shared_path('golden/padnet_mtinet')
    data = torch.load(folder / 'losses_meters_data.pth', weights_only=True)[request.param]
    expected = json.loads((folder / 'losses_meters_expected.json').read_text())[request.param]
    tasks = TaskSet(family_a_tasks({name: x.shape[1] for name, x in data['logits'].items()}))
    return tasks, data, expected


def loss_of(task, logits, target):
    logits = logits.double().requires_grad_()
    loss = MODELS.build(task.loss)(logits, target, task.valid_mask(target))
    loss.backward()
    return loss.item(), logits.grad


def test_values_and_gradients(reference):
    tasks, data, expected = reference
    for name, task in tasks.items():
        for batch in range(2):
            rows = slice(2 * batch, 2 * batch + 2)
            loss, gradient = loss_of(task, data['logits'][name][rows], data['targets'][name][rows])
            assert loss == pytest.approx(expected['losses'][name][batch], rel=1e-6), name
            assert gradient.norm().item() == pytest.approx(expected['grad_norms'][name][batch], rel=1e-6), name
            if batch == 0 and name in data['grads']:
                torch.testing.assert_close(gradient.float(), data['grads'][name], rtol=1e-5, atol=1e-9)


def test_nothing_labelled(reference):
    """Where the published code gives NaN, ours gives a zero with a gradient of zero."""
    tasks, data, expected = reference
    for name, task in tasks.items():
        loss, gradient = loss_of(task, data['logits'][name][:2], torch.full_like(data['targets'][name][:2], 255))
        wanted = expected['all_255'][name]['loss']
        wanted = 0 if wanted == 'nan' or wanted != wanted else wanted
        assert loss == pytest.approx(wanted, rel=1e-6, abs=1e-12), name
        assert gradient.norm().item() == pytest.approx(expected['all_255'][name]['grad_norm'], rel=1e-6, abs=1e-12)


def test_one_sided_batches(reference):
    tasks, data, expected = reference
    for label, group in ((0, 'all_negative'), (1, 'all_positive')):
        for name, wanted in expected[group].items():
            target = torch.full_like(data['targets'][name][:2], label)
            assert loss_of(tasks[name], data['logits'][name][:2], target)[0] == pytest.approx(
                wanted, rel=1e-6, abs=1e-9
            )


def test_ignored_pixels_count_for_nothing_by_default():
    logits, target = torch.randn(1, 1, 4, 6), torch.randint(2, (1, 1, 4, 6)).float()
    target[..., 3:] = 255
    loss = MODELS.build(dict(type='BalancedBCELoss', pos_weight='balanced', threshold=0.5))
    left = loss(logits[..., :3], target[..., :3], torch.ones(1, 1, 4, 3, dtype=torch.bool))
    torch.testing.assert_close(loss(logits, target, target != 255), left)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="pos_weight < 1 .* or 'balanced'"):
        MODELS.build(dict(type='BalancedBCELoss', pos_weight='even'))
    with pytest.raises(ValueError, match='needs a threshold'):
        MODELS.build(dict(type='BalancedBCELoss', ignored_as_positive=True))
    with pytest.raises(ValueError, match="'pixels' or 'elements', but got 'all'"):
        MODELS.build(dict(type='NormalsL1Loss', average='all'))
