"""Real processes, each with a share of the model, over gloo."""

import json
import os
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import FlexibleRunner, Runner
from torch.distributed.fsdp import FullyShardedDataParallel

from mlore_mm.engine import MultiTaskFSDPStrategy, WatchedOptimWrapper, fsdp_strategy
from mlore_mm.engine.checkpoints import differences, read_checkpoint
from mlore_mm.registry import RUNNERS
from tests.distributed import run_in_processes
from tests.tiny import TRAINING, write_rooms, write_tiny

TWO_STAGES = "model['decode_head'].update(in_channels=[32, 64], in_index=[2, 3], reference_level=0)"
ITERS = 3
BASIC = {
    'launcher': 'pytorch',
    'train_cfg.max_iters': ITERS,
    'train_cfg.val_interval': ITERS,
    'train_dataloader.batch_size': 1,
    'default_hooks.checkpoint.interval': 2,
    'optim_wrapper.clip_grad.max_norm': 0.1,  # so that every step is clipped
    # Adam divides a gradient by its size: those that are zero but for rounding would count as much as all others.
    'optim_wrapper.optimizer.eps': 0.01,
    'visualizer.vis_backends': [],
}
SHARED_OUT = dict(
    runner_type='mlore_mm.MultiTaskFlexibleRunner',
    strategy=dict(type='mlore_mm.MultiTaskFSDPStrategy', units=['MLoREBlock']),
)


def build(config: str, work: str, **options):
    cfg = Config.fromfile(config)
    cfg.work_dir = work
    cfg.experiment_name = f'{work}_{options}'  # mmengine shares parts between runners of one name and second
    cfg.merge_from_dict({**BASIC, **options})
    os.environ['LOCAL_RANK'] = str(get_rank())
    # It asks compilers for their versions, for seconds.
    with patch.object(Runner, '_log_env'), patch.object(FlexibleRunner, '_log_env'):
        return RUNNERS.build(cfg)


def run(config: str, work: str, resume: str | None = None, start: str | None = None, **options):
    """Train to the end, from this checkpoint on, or anew from the weights of ``start``."""
    runner = build(config, work, load_from=resume or start, resume=bool(resume), **options)
    runner.train()
    return runner


def share(runner) -> float:
    """The part of all weights that this process keeps."""
    units = [module for module in runner.model.modules() if isinstance(module, FullyShardedDataParallel)]
    assert len(units) == 1 + 2 * 2  # the rest of the model, and two blocks for each of two levels
    kept = sum(x.numel() for x in runner.model.parameters())
    return kept / sum(x.numel() for x in runner.strategy.weights.values())


def trainings(config: str, start: str) -> float:
    # One start for both: the two runners build the model at other places in the stream of random numbers.
    run(config, 'ordinary', start=start)
    kept = share(run(config, 'shared', start=start, **SHARED_OUT))
    run(config, 'resumed', 'shared/iter_2.pth', **SHARED_OUT)
    run(config, 'to_shared', 'ordinary/iter_2.pth', **SHARED_OUT)
    run(config, 'to_ordinary', 'shared/iter_2.pth')
    poisoned = build(config, 'poisoned', **SHARED_OUT)
    poisoned.register_hook(Poison())
    with pytest.raises(ValueError, match='the weights themselves are not finite'):
        poisoned.train()
    return kept


class Poison(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        with torch.no_grad():
            next(x for x in runner.model.parameters() if x.numel()).fill_(float('nan'))


def assert_same_numbers(first, second) -> None:
    first, second = read_checkpoint(first), read_checkpoint(second)
    torch.testing.assert_close(second['state_dict'], first['state_dict'], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(second['optimizer']['state'], first['optimizer']['state'], rtol=1e-5, atol=1e-6)
    assert second['optimizer']['param_groups'] == first['optimizer']['param_groups']
    assert second['param_schedulers'] == first['param_schedulers']
    logs = [x['message_hub']['log_scalars'] for x in (first, second)]
    for name in ('train/loss', 'train/grad_norm', 'train/lr'):
        assert logs[1][name].data[0] == pytest.approx(logs[0][name].data[0], rel=1e-4), name


@pytest.mark.slow
def test_same_as_ordinary_training_and_each_goes_on_with_the_other(tmp_path):
    config, start = write_tiny(tmp_path, write_rooms(tmp_path / 'data', 4), TRAINING + TWO_STAGES)
    work = tmp_path / 'work'
    work.mkdir()
    assert all(0.3 < kept < 0.7 for kept in run_in_processes(trainings, work, config, start))
    for name in ('shared', 'to_shared', 'to_ordinary'):
        assert_same_numbers(work / 'ordinary/iter_3.pth', work / name / 'iter_3.pth')
    assert differences(work / 'shared/iter_3.pth', work / 'resumed/iter_3.pth') == []

    # In one process the same config is an ordinary one. The best checkpoint knows when it was validated.
    (best,) = (work / 'shared').glob('best*.pth')
    assert read_checkpoint(best)['meta']['iter'] == ITERS
    alone = build(config, str(work / 'test'), **SHARED_OUT, launcher='none', load_from=str(best)).test()
    (file,) = (work / 'shared').glob('*/evaluation.json')
    assert alone['depth/RMSE'] == pytest.approx(json.loads(file.read_text())['results']['depth/RMSE'], rel=1e-5)


def test_clipping_goes_by_the_norm_of_the_sharded_model(tmp_path, monkeypatch):
    strategy, model = MultiTaskFSDPStrategy(work_dir=str(tmp_path)), torch.nn.Linear(1, 1)
    built = {}
    monkeypatch.setattr(FSDPStrategy, 'build_optim_wrapper', lambda *args: built['wrapper'])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for clip, sharded in ((None, None), (dict(type='value', clip_value=1), None), (dict(max_norm=1), model)):
        built['wrapper'] = WatchedOptimWrapper(optimizer, clip_grad=clip)
        assert strategy.build_optim_wrapper({}, model).sharded is sharded
    built['wrapper'] = SimpleNamespace(clip_grad_kwargs=dict(max_norm=1))
    with pytest.raises(ValueError, match='can be clipped by OptimWrapper and AmpOptimWrapper, but not by Simple'):
        strategy.build_optim_wrapper({}, model)


@pytest.mark.parametrize(
    ('device', 'running', 'started'), [('cpu', False, True), ('cpu', True, False), ('cuda', False, False)]
)
def test_gloo_is_started_where_there_is_no_accelerator(tmp_path, monkeypatch, device, running, started):
    calls = []
    strategy = MultiTaskFSDPStrategy(work_dir=str(tmp_path))
    monkeypatch.setattr(fsdp_strategy, 'get_device', lambda: device)
    monkeypatch.setattr(fsdp_strategy, 'is_distributed', lambda: running)
    monkeypatch.setattr(fsdp_strategy, 'init_gloo', lambda *args: calls.append(args))
    monkeypatch.setattr(FSDPStrategy, '_setup_distributed', lambda self, *args, **more: calls.append((*args, more)))
    strategy._setup_distributed('pytorch', 'gloo', timeout=3)
    assert calls == [('pytorch', dict(timeout=3))] * started + [('pytorch', 'gloo', dict(timeout=3))]


def test_weights_that_do_not_fit_are_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(fsdp_strategy, 'print_log', lambda text, *more: said.append(text))
    strategy, model = MultiTaskFSDPStrategy(work_dir=str(tmp_path)), torch.nn.Linear(2, 1)
    strategy.model, strategy.weights = model, model.state_dict()
    strategy.load_model_state_dict({'module.weight': torch.ones(1, 2), 'bias': torch.ones(1)})
    assert (model.weight.tolist(), model.bias.item(), said) == ([[1, 1]], 1, [])
    strategy.load_model_state_dict(dict(weight=torch.full((1, 2), 3.0), bias=torch.ones(2), more=torch.ones(1)))
    assert (model.weight.tolist(), model.bias.item()) == ([[3, 3]], 1)
    assert said == ["Missing, unexpected or of another shape: ['bias', 'more']"]
