import pytest

from mlore_mm.engine import MultiTaskRunner, complete_save_best
from mlore_mm.registry import RUNNERS
from mlore_mm.tasks import bind_tasks
from tests.test_engine.test_runner import load


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


def test_tensorboard_is_left_out_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr('mlore_mm.engine.task_runner.find_spec', lambda name: None)
    runner = RUNNERS.build(load(tmp_path))
    assert list(runner.visualizer._vis_backends) == ['LocalVisBackend']


def test_without_workers_nothing_of_workers_is_asked_for(tmp_path):
    loader = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': True}
    loader |= {'train_dataloader.prefetch_factor': 4, 'train_cfg.max_iters': 1}
    runner = RUNNERS.build(load(tmp_path, **loader))
    runner.train()
    assert not runner.train_dataloader.persistent_workers
