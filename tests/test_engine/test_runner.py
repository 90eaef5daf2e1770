from itertools import count

import pytest
import torch
from mmengine.config import Config
from torch.optim import SGD

from mlore_mm.engine.runner import MultiTaskRunner, complete_save_best
from mlore_mm.registry import PARAM_SCHEDULERS, RUNNERS
from mlore_mm.tasks import bind_tasks
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


def test_overrides_reach_the_model(tmp_path):
    cfg = load(tmp_path, **{'tasks.depth.loss_weight': 7.0, 'task_names': ['depth', 'semseg']})
    runner = RUNNERS.build(cfg)
    assert isinstance(runner, MultiTaskRunner)
    assert runner.model.tasks['depth'].loss_weight == 7.0
    assert runner.task_names == ['semseg', 'depth']


@pytest.mark.parametrize(
    ('given', 'key', 'rule'),
    [
        ({'save_best': 'auto'}, 'semseg/mIoU', 'greater'),
        ({'save_best': 'depth/RMSE'}, 'depth/RMSE', 'less'),
        ({'save_best': 'delta_m'}, 'delta_m', 'greater'),
        ({'save_best': 'depth/RMSE', 'rule': 'greater'}, 'depth/RMSE', 'greater'),
        ({'save_best': 'something'}, 'something', None),
        ({'save_best': None}, None, None),
    ],
)
def test_rule_of_the_best_checkpoint(tmp_path, given, key, rule):
    cfg = bind_tasks(load(tmp_path))
    cfg.default_hooks.checkpoint.update(given)
    complete_save_best(cfg)
    hook = cfg.default_hooks.checkpoint
    assert (hook.save_best, hook.get('rule')) == (key, rule)


def test_best_follows_the_evaluated_tasks(tmp_path):
    cfg = bind_tasks(load(tmp_path, eval_tasks=['normals', 'depth']))
    complete_save_best(cfg)
    assert cfg.default_hooks.checkpoint.save_best == 'depth/RMSE'  # in the order of `tasks`


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
    RUNNERS.build(dumped).load_checkpoint(path)

    subset = RUNNERS.build(load(tmp_path, eval_tasks=['depth'], load_from=path))
    assert list(subset.test()) == ['depth/RMSE']


@pytest.mark.parametrize('step', [0, 1, 500, 2000])
def test_published_learning_rate(step):
    # 40,000 steps are many for a test: the schedule of the config at a twentieth of its length.
    steps = 2000
    config = dict(SCHEDULE.param_scheduler[0], end=SCHEDULE.param_scheduler[0]['end'] - 40000 + steps)
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
    scheduler = PARAM_SCHEDULERS.build(dict(config, optimizer=optimizer))
    for _ in range(step):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(2e-5 * (1 - step / steps) ** 0.9, rel=1e-9, abs=1e-20)


def test_tensorboard_is_left_out_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr('mlore_mm.engine.runner.find_spec', lambda name: None)
    runner = RUNNERS.build(load(tmp_path))
    assert list(runner.visualizer._vis_backends) == ['LocalVisBackend']
