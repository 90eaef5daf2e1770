"""What a plan must not say, and what it says without a word more."""

import pytest

from mlore_mm.apis.comparison.plan import read_plan
from mlore_mm.apis.comparison.plan_checks import read_seeds


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(systems=['sharing.py']), '`systems` of the plan .* has to be a dict'),
        (dict(budget=300), '`budget` of the plan .* has to be a dict, but is 300'),
        (dict(encoders=['one']), '`encoders` of the plan .* has to be a dict'),
        (dict(encoders=dict(one='x')), '`encoders.one` of the plan .* has to be a dict'),
        (dict(single_task=True), 'single_task of the plan .* has to be a path or a dict, but is True'),
        (dict(seeds=['a']), 'has to be a list of whole numbers'),
        ({'systems.mlore': dict(encoders='narow'), 'encoders': dict(narrow={})}, "mean 'narrow'"),
        ({'systems.mlore': dict(encoders=[])}, r'names the encoders \[\], but the plan has'),
        ({'cfg_options.train_cfg.max_iters': 9}, '`cfg_options` of the plan .* sets train_cfg.max_iters.*budget.iter'),
        ({'cfg_options': {'randomness.seed': 3}}, 'sets randomness.seed, .*: seeds'),
        (
            {'data.cfg_options': {'default_hooks': dict(checkpoint=dict(save_best='x'))}},
            'sets default_hooks.checkpoint',
        ),
        ({'systems.mlore': dict(cfg_options={'work_dir': 'x'})}, 'systems.mlore .* --work-dir'),
        (
            dict(encoders=dict(a=dict(cfg_options={'task_names': ['depth']}))),
            'encoders.a.* sets task_names.*: tasks',
        ),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_named(plan, options, message):
    with pytest.raises(ValueError, match=message):
        read_plan(plan, options)


@pytest.mark.parametrize(('given', 'seeds'), [(None, (0,)), (0, (0,)), (3, (3,)), ([2, 1], (2, 1)), ((5,), (5,))])
def test_seeds(given, seeds):
    assert read_seeds(given, 'p.py') == seeds


@pytest.mark.parametrize('given', [[], True, [True], [-1], '12', [1.5], 1.5, [1, 1]])
def test_what_is_no_seed(given):
    with pytest.raises(ValueError, match='p.py'):
        read_seeds(given, 'p.py')


def test_an_option_beside_dotted_ones_replaces_none(plan):
    """The plan says num_workers with dots; the command line's dict for the same loader leaves it alone."""
    for run in read_plan(plan, {'data.cfg_options.train_dataloader.batch_size': 1}).runs:
        loader = run.cfg.train_dataloader
        assert (loader.num_workers, loader.batch_size) == (0, 1)


def test_a_system_may_have_the_second_encoder_alone(plan):
    """The first does not fit it."""
    systems = dict(_delete_=True, a=dict(config='sharing.py', encoders='narrow'))
    encoders = dict(wrong=dict(cfg_options={'model.backbone.no_such': 1}), narrow={})
    found = read_plan(plan, dict(systems=systems, encoders=encoders, single_task=None))
    assert [run.title for run in found.runs] == ['narrow, a, seed 0']


def test_conditions_that_are_not_equal(plan):
    assert read_plan(plan).unequal == ()
    systems = {'systems.mlore.cfg_options': {'train_dataloader.batch_size': 7, 'train_dataloader.dataset.indices': 1}}
    said = read_plan(plan, systems).unequal
    assert len(said) == 2
    assert "as configured: batch size of 'single task' 2, of 'mlore' 7" in said
    assert "'indices': 1" in next(x for x in said if 'training samples' in x)
    with pytest.raises(
        ValueError,
        match="score 'single task' and 'mlore' on different samples or labels, .*'indices': None.* and .*'indices': 1}",
    ):
        read_plan(plan, {'systems.mlore.cfg_options': {'val_dataloader.dataset.indices': 1}})
    with pytest.raises(ValueError, match="on different samples or labels, .*'missing_labels'"):
        read_plan(plan, {'systems.mlore.cfg_options': {'val_dataloader.dataset.missing_labels': 'raise'}})
