"""Settings that fit each other."""

import pytest
from mmengine.config import Config

from mlore_mm.engine.config_check import check_config, idle_settings
from mlore_mm.engine.config_check.meanings import check_baselines, check_counting, check_scope
from mlore_mm.tasks import bind_tasks
from tests.test_engine.test_config_check.settings import changed, check


def test_what_a_training_never_comes_to_is_told(config):
    cfg = bind_tasks(Config(config.to_dict()))
    assert idle_settings(cfg) == []
    cfg.train_cfg.val_begin = 2000
    cfg.param_scheduler.append(dict(type='PolyLR', by_epoch=False, begin=500, end=900))
    first, second = idle_settings(cfg)
    assert first.startswith('train_cfg.val_begin is 2000, more than max_iters=500: there is no validation')
    assert second.startswith('param_scheduler.1 begins at 500, after the end')
    check_config(cfg)


def test_what_counts_epochs_in_a_training_by_iterations(config):
    """mmengine's default: the rate would stay as it is, and nothing would be saved before the end."""
    cfg = changed(config, 'param_scheduler', [dict(type='PolyLR', power=0.9, end=500)])
    cfg.default_hooks.checkpoint.pop('by_epoch')
    with pytest.raises(
        ValueError, match=r'2 mistakes:\n- param_scheduler.0 counts epochs.*\n- default_hooks.checkpoint co'
    ):
        check(cfg)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    check(cfg)


def loop(**more) -> Config:
    return Config(dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=10), **more))


@pytest.mark.parametrize(
    ('schedule', 'told'),
    [
        (dict(type='PolyLR', by_epoch=False, begin=10), ['param_scheduler.0 begins at 10']),
        (dict(type='PolyLR', by_epoch=False, begin=9), []),
        ([dict(type='PolyLR', begin=10)], []),  # of epochs
        ([5, dict(type='PolyLR', by_epoch=False, begin=11)], ['param_scheduler.1 begins at 11']),
    ],
)
def test_schedules_that_begin_after_the_end(schedule, told):
    cfg = loop(param_scheduler=schedule)
    assert [text[: len(start)] for text, start in zip(idle_settings(cfg), told, strict=True)] == told
    cfg.train_cfg = dict(max_epochs=0)
    assert idle_settings(cfg) == []


def test_validations_that_begin_after_the_end():
    for begin, number in ((10, 0), (11, 1)):
        cfg = loop(val_dataloader=dict(a=1))
        cfg.train_cfg.val_begin = begin
        assert len(idle_settings(cfg)) == number
        cfg.val_dataloader = None
        assert idle_settings(cfg) == []


@pytest.mark.parametrize(
    ('train_cfg', 'schedule', 'number'),
    [
        (dict(type='IterBasedTrainLoop'), dict(type='PolyLR'), 1),
        (dict(type='mmengine.IterBasedTrainLoop'), [dict(type='PolyLR', by_epoch=True)], 1),
        (dict(by_epoch=False), [dict(type='PolyLR'), dict(type='PolyLR', by_epoch=False)], 1),
        (dict(), dict(type='PolyLR'), 0),
        (dict(type='EpochBasedTrainLoop'), dict(type='PolyLR'), 0),
        (dict(type='IterBasedTrainLoop'), dict(type='PolyLR', convert_to_iter_based=True), 0),
        (dict(type='IterBasedTrainLoop'), dict(optimizer=[dict(type='PolyLR')]), 0),
    ],
)
def test_what_counts_epochs(train_cfg, schedule, number):
    assert len(check_counting(dict(train_cfg=train_cfg, param_scheduler=schedule))) == number


def test_baselines_of_both_evaluations_and_scopes():
    evaluator = dict(baselines=dict(depth=0.5, edge=0, semseg='1', dpth=1))
    tasks = dict.fromkeys(('depth', 'edge', 'semseg'))
    for split in ('val', 'test'):
        problems = check_baselines(Config({'tasks': tasks, f'{split}_evaluator': evaluator}))
        places = [problem.split()[0].rstrip(':') for problem in problems]
        assert places == [f'{split}_evaluator.baselines.{name}' for name in ('edge', 'semseg', 'dpth')]
        assert "Did you mean 'depth'?" in problems[2]
    assert check_baselines(Config(dict(tasks=tasks, val_evaluator=[dict(type='A')]))) == []
    for scope in (None, 'mmengine', 'mlore_mm', 'mmseg', 'json'):
        assert check_scope(dict(default_scope=scope)) == []
    assert 'There are ' in check_scope(dict(default_scope='zzzzzz'))[0]
    assert check_scope(dict(default_scope=5)) != []
