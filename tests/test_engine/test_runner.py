from itertools import count

import pytest
import torch
from mmengine.config import Config
from torch.optim import SGD

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
