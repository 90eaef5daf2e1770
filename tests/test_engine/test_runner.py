from itertools import count
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch.optim import SGD

from mlore_mm.engine import MultiTaskRunner
from mlore_mm.engine import runner as module
from mlore_mm.registry import PARAM_SCHEDULERS, RUNNERS
from mlore_mm.utils.config_variables import resolve_variables
from tests.shared import REPO
from tests.toy import write_config

NUMBERS = count()
SCHEDULE = Config.fromfile(str(REPO / 'configs' / '_base_' / 'schedules' / 'adam_40k.py'))


def load(folder, **options) -> Config:
    cfg = Config.fromfile(write_config(folder))
    cfg.work_dir = str(folder / 'work')
    cfg.experiment_name = f'toy_{next(NUMBERS)}'  # mmengine shares parts between runners of one name and second
    cfg.merge_from_dict(options)
    return cfg


def test_checkpoint_of_another_order_is_refused(tmp_path):
    trained = RUNNERS.build(load(tmp_path))
    trained.train()
    path = str(tmp_path / 'work' / 'iter_4.pth')
    assert torch.load(path, weights_only=True)['meta']['tasks'] == ['semseg', 'depth', 'normals']

    dumped = Config.fromfile(str(tmp_path / 'work' / 'toy.py'))  # mmengine's own text has the tasks in another order

    cfg = load(tmp_path)
    cfg.tasks = dict(reversed(cfg.tasks.items()))
    other = RUNNERS.build(cfg)
    with pytest.raises(ValueError, match=r"another order.*\['semseg', 'depth', 'normals'\].*\['normals', 'depth', 's"):
        other.load_checkpoint(path)
    fewer = RUNNERS.build(load(tmp_path, task_names=['depth']))
    with pytest.raises(ValueError, match='other tasks'):
        fewer.resume(path)

    dumped.experiment_name = 'dumped'
    runner = RUNNERS.build(dumped)
    runner.load_checkpoint(path)
    lacking = torch.load(path, weights_only=True)
    for name in [name for name in lacking['state_dict'] if name.endswith('.weight')][:2]:
        del lacking['state_dict'][name]
    torch.save(lacking, tmp_path / 'lacking.pth')
    runner.load_checkpoint(tmp_path / 'lacking.pth')  # what is missing may start anew
    with pytest.raises(ValueError, match='lacking.pth lacks 2 of the'):
        runner.load_checkpoint(tmp_path / 'lacking.pth', strict=True)

    subset = RUNNERS.build(load(tmp_path, eval_tasks=['depth'], load_from=path))
    assert list(subset.test()) == ['depth/RMSE']


@pytest.mark.parametrize('step', [0, 1, 500, 2000])
def test_published_learning_rate(step):
    # 40,000 steps are many for a test: the schedule of the config at a twentieth of its length.
    steps = 2000
    schedule = dict(SCHEDULE.to_dict(), max_iters=steps)
    resolve_variables(schedule)
    config = schedule['param_scheduler'][0]
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
    scheduler = PARAM_SCHEDULERS.build(dict(config, optimizer=optimizer))
    for _ in range(step):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(2e-5 * (1 - step / steps) ** 0.9, rel=1e-9, abs=1e-20)


def test_names_are_revised_on_request(tmp_path):
    runner = RUNNERS.build(load(tmp_path))
    weights = {f'old.{name}': torch.zeros_like(x) for name, x in runner.model.state_dict().items()}
    torch.save(weights, tmp_path / 'old.pth')
    runner.load_checkpoint(str(tmp_path / 'old.pth'), strict=True, revise_keys=[(r'^old\.', '')])
    assert not runner.model.heads['depth'].weight.any()
    assert runner._has_loaded


@pytest.mark.parametrize('given', [None, dict(broadcast_buffers=True)])
def test_several_processes_without_an_accelerator_share_the_model_by_our_wrapper(monkeypatch, given):
    built = SimpleNamespace(build=lambda config: config)
    monkeypatch.setattr(module, 'MODEL_WRAPPERS', built)
    monkeypatch.setattr(module, 'get_device', lambda: 'cpu')
    runner = SimpleNamespace(distributed=True, cfg=dict(find_unused_parameters=True, sync_bn=None))
    model = torch.nn.Linear(1, 1)
    wrapped = MultiTaskRunner.wrap_model(runner, given, model)
    assert (wrapped.pop('module'), wrapped.pop('device_ids')) == (model, None)
    ours = dict(type='mlore_mm.MultiTaskDistributedDataParallel')
    assert wrapped == dict(ours, **(given or dict(broadcast_buffers=False, find_unused_parameters=True)))
    del runner.cfg['find_unused_parameters']
    assert MultiTaskRunner.wrap_model(runner, None, model)['find_unused_parameters'] is False


@pytest.mark.parametrize(
    ('distributed', 'running', 'device', 'started'),
    [(True, False, 'cpu', 1), (False, False, 'cpu', 0), (True, True, 'cpu', 0), (True, False, 'cuda', 0)],
)
def test_process_groups_are_started_once_and_on_machines_without_an_accelerator(
    monkeypatch, distributed, running, device, started
):
    calls = []
    monkeypatch.setattr(module, 'is_distributed', lambda: running)
    monkeypatch.setattr(module, 'get_device', lambda: device)
    monkeypatch.setattr(module, 'init_gloo', lambda *args: calls.append(args))
    monkeypatch.setattr(module.Runner, 'setup_env', lambda self, config: calls.append(config))
    runner = MultiTaskRunner.__new__(MultiTaskRunner)
    runner._distributed, runner._launcher = distributed, 'pytorch'
    config = dict(dist_cfg=dict(timeout=3))
    runner.setup_env(config)
    assert calls == [('pytorch', dict(timeout=3))] * started + [config]
