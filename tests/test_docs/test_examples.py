"""The examples of the documentation: each one trains two steps on a handful of rooms and is evaluated."""

import importlib.util
import json
import math
import runpy
import sys

import numpy as np
import pytest
import torch

from mlore_mm.apis import load_config, train_model
from mlore_mm.synth_rooms import Recipe, generate
from tests.shared import REPO

EXAMPLES = REPO / 'docs' / 'examples'
SIZE = (64, 96)

# Config to the evaluated numbers that it has to report.
REPORTED = dict(
    own_dataset=('semseg/mIoU', 'depth/RMSE'),
    own_task=('semseg/mIoU', 'depth/RMSE', 'inverse_depth/MAE'),
    own_backbone=('semseg/mIoU', 'depth/RMSE'),
    own_loss=('semseg/mIoU', 'depth/RMSE'),
    own_head=('semseg/mIoU', 'depth/RMSE'),
)


@pytest.fixture(scope='module')
def rooms(tmp_path_factory):
    return generate(tmp_path_factory.mktemp('rooms'), Recipe('nyud', size=SIZE, train=4, val=1), workers=1)[0]


@pytest.fixture(scope='module')
def own_data(tmp_path_factory):
    """The folder that docs/examples/make_own_data.py writes."""
    out = tmp_path_factory.mktemp('mine')
    arguments, sys.argv = sys.argv, ['make_own_data.py', str(out), '--train', '4', '--val', '1']
    try:
        runpy.run_path(str(EXAMPLES / 'make_own_data.py'), run_name='__main__')
    finally:
        sys.argv = arguments
    return out


def example(name: str):
    """The module of an example; it is registered once, whoever asks."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f'{name}.py')
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def test_every_example_is_here():
    assert {path.stem.removesuffix('_config') for path in EXAMPLES.glob('*_config.py')} == set(REPORTED)


@pytest.mark.parametrize('name', REPORTED)
def test_example_trains_and_is_evaluated(name, tmp_path, monkeypatch, rooms, own_data):
    monkeypatch.syspath_prepend(str(EXAMPLES))  # PYTHONPATH=docs/examples
    if (EXAMPLES / f'{name}.py').exists():
        example(name)
    monkeypatch.setenv('MINE_ROOT', str(own_data))
    cfg = load_config(str(EXAMPLES / f'{name}_config.py'), work_dir=str(tmp_path))
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.logger.interval = 1
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        if name != 'own_dataset':
            loader.dataset.data_root = str(rooms)
    train_model(cfg)
    results = json.loads(next(tmp_path.rglob('evaluation.json')).read_text())['results']
    assert set(REPORTED[name]) <= set(results)
    logged = [json.loads(line) for path in tmp_path.rglob('scalars.json') for line in path.read_text().splitlines()]
    steps = [line for line in logged if 'loss' in line]
    assert len(steps) == 2
    assert all(math.isfinite(step['loss']) for step in steps)
    assert {f'loss_{key.split("/")[0]}' for key in REPORTED[name]} <= set(steps[0])
    assert ('loss_guess_depth' in steps[0]) == (name == 'own_head')
    assert (tmp_path / 'iter_2.pth').exists()


def test_own_task_follows_the_zoom():
    task = example('own_task').Nearness(name='inverse_depth')
    assert task.rescale_values(torch.tensor(0.5), 2.0) == 1.0  # 2 m seen at twice the size are 1 m
    assert not task.valid_mask(torch.zeros(1, 1, 1)).any()
    assert task.decode(torch.tensor([[[-1.0]]])) == 0


def test_own_reader_keeps_unread_pixels(tmp_path):
    np.save(tmp_path / 'a.npy', np.array([[0.0, 0.5], [2.0, 4.0]]))
    values = example('own_task').NearnessReader(dir='.').read(str(tmp_path / 'a.npy'))
    assert values.tolist() == [[0, 2], [0.5, 0.25]]


def test_own_loss_by_hand():
    loss = example('own_loss').ReverseHuberLoss(share=0.5)
    logits = torch.tensor([[[[1.0, 4.0, 9.0]]]], requires_grad=True)
    target, valid = torch.zeros(1, 1, 1, 3), torch.tensor([[[[True, True, False]]]])
    value = loss(logits, target, valid)  # c = 2: |1| and (16 + 4) / 4
    assert value.item() == pytest.approx((1 + 5) / 2)
    value.backward()
    assert logits.grad[..., 2] == 0
    empty = loss(logits, target, torch.zeros_like(valid))
    assert empty == 0
    assert empty.requires_grad


def test_own_head_gives_a_subset_as_the_whole():
    tasks = dict(semseg=dict(type='SemSeg', out_channels=3), depth=dict(type='Depth'))
    head = example('own_head').GuessAndRefineHead(tasks, in_channels=[4, 8], embed_dims=8).eval()
    feats = [torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4)]
    whole, part = head(feats), head(feats, ['depth'])
    assert list(part.logits) == ['depth']
    assert not part.auxiliary
    torch.testing.assert_close(part.logits['depth'], whole.logits['depth'])
