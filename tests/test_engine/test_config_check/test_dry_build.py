"""What constructors say."""

import pytest

from mlore_mm.engine.config_check.dry_build import constructor_says, what_it_says
from mlore_mm.engine.hooks import NonFiniteHook
from tests.test_engine.test_config_check.settings import changed, check

# Constructors that are tried once nothing else is wrong.
TRIED = {
    'optim_wrapper.optimizer.betas': ((0.9, 1.9), 'optim_wrapper.optimizer: Invalid beta parameter'),
    'optim_wrapper.optimizer.eps': (-1, 'optim_wrapper.optimizer: Invalid epsilon'),
    'param_scheduler.0.begin': (900, 'param_scheduler.0: .*end should be larger than begin'),
    'optim_wrapper': (
        dict(type='AmpOptimWrapper', optimizer=dict(type='Adam', lr=1e-3), dtype='float17', loss_scale='dynamc'),
        "2 mistakes:\n- optim_wrapper.loss_scale .* mean 'dynamic'.*\n- optim_wrapper.dtype .* mean 'float16'",
    ),
    'tasks.depth.dtype': ('float31', "Task 'depth' has dtype='float31'"),
    'model.aux_tasks': (['edge'], 'model.aux_tasks: it is taken from `aux_tasks` at the top'),
    'model.test_cfg.tasks': (['edge'], 'model.test_cfg.tasks: it is taken from `eval_tasks` at the top'),
    'tasks.normals.out_channels': (1, "Task 'normals' predicts vectors x, y, z"),
    'train_dataloader.dataset.labels.depth.ignor': (
        (0,),
        "labels.depth.ignor: .* takes no 'ignor'. Did you mean 'ignore'",
    ),
    'tasks.edge.metric.max_dist': (-1, 'max_dist is a part of the image'),
    'param_scheduler': (
        [dict(type='LinearLR', start_factor=0, by_epoch=False)],
        'param_scheduler.0.start_factor is 0, expected a number above 0',
    ),
    'tasks.edge.metric.thresholds': (0, 'thresholds: one or more numbers in 0..1'),
}


@pytest.mark.parametrize('key', TRIED)
def test_what_constructors_say(config, key):
    value, message = TRIED[key]
    with pytest.raises(ValueError, match=message):
        check(changed(config, key, value))


def test_what_is_built_for_a_moment():
    wrong = dict(type='NonFiniteHook', action='x', priority='LOW')
    assert "is 'raise' or 'skip'" in what_it_says(NonFiniteHook, wrong, ('priority',))
    assert what_it_says(NonFiniteHook, dict(wrong, action='skip'), ('priority',)) is None
    assert 'NonFiniteHook cannot be built from ' in what_it_says(NonFiniteHook, wrong)
    assert what_it_says(NonFiniteHook, dict(wrong, part=[dict(type='A')])) is None  # parts are looked at one by one
    assert what_it_says(dict, dict(wrong)) is None
    assert constructor_says(int, dict(params=[1])) == 'int cannot be built from {}: ' + str(_error(int, params=[1]))


def _error(cls, **options):
    with pytest.raises(TypeError) as error:
        cls(**options)
    return error.value
