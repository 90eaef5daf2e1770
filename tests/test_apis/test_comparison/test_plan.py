"""What a plan means, and what it must not say."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mlore_mm.apis.comparison.plan import SINGLE, _budget, _file_name, _system, read_plan, set_iterations


def test_runs_differ_by_what_they_are_and_not_by_where(plan):
    runs, more = read_plan(plan).runs, read_plan(plan, dict(seeds=[0, 1])).runs
    assert [run.task for run in runs if run.system == SINGLE] == ['depth', 'semseg']
    assert [run.digest for run in more[: len(runs)]] == [run.digest for run in runs]
    assert len({run.digest for run in more}) == 2 * len(runs)
    assert len({run.recipe for run in more}) == len(runs)
    changed = read_plan(plan, {'cfg_options': {'optim_wrapper.optimizer.lr': 1e-5}}).runs
    assert not {run.digest for run in changed} & {run.digest for run in runs}
    (broken,) = (run for run in runs if run.system == 'broken')
    assert broken.cfg.model.decode_head.in_channels == [8, 16, 32, 63]
    assert broken.cfg.task_names == ['depth', 'semseg']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(budget=dict(iterations=0)), r'needs budget=dict\(iterations=N\)'),
        (dict(systems=dict(a=dict(config='none.py'))), 'none.py, which is no file here, beside the plan'),
        (dict(systems=dict(a=dict(cfg='tiny.py'))), r"systems.a of the plan .* has 'cfg'"),
        (dict(tasks=['dept']), 'dept'),
        ({'cfg_options': {'model.decode_hed.top_k': 1}}, 'decode_hed'),
    ],
)
def test_mistakes_of_a_plan(plan, options, message):
    if 'systems' in options:
        options['systems']['_delete_'] = True
    with pytest.raises(ValueError, match=message):
        read_plan(plan, options)


@pytest.mark.parametrize(
    ('entry', 'found'),
    [
        (dict(iterations=5.0), ('5 iterations', 5, None)),
        (dict(seconds=90), ('90 s', None, 90.0)),
        (dict(seconds=0.5, iterations=None), ('0.5 s', None, 0.5)),
        (None, None),
        (dict(seconds=1, iterations=1), None),
        (dict(seconds=-1), None),
        (dict(iterations='many'), None),
    ],
)
def test_budgets(entry, found):
    if found is not None:
        assert _budget(entry, 'p.py') == found
        return
    with pytest.raises(ValueError, match=r'The plan p.py needs budget=dict\(iterations=N\) or'):
        _budget(entry, 'p.py')


def test_lengths_names_and_systems(tmp_path):
    for iterations, interval in ((10, 2), (11, 3), (3, 1)):
        cfg = Config(dict(max_iters=1, train_cfg=dict(a=1), default_hooks=dict(checkpoint=dict())))
        set_iterations(cfg, iterations)
        assert cfg.train_cfg == dict(a=1, max_iters=iterations, val_interval=iterations)
        assert (cfg.max_iters, cfg.default_hooks.checkpoint.interval) == (iterations, interval)
    assert _file_name('a b/c-1.5+é') == 'a-b-c-1.5+é'
    (tmp_path / 'plans').mkdir()
    (tmp_path / 'a.py').touch()
    plan = tmp_path / 'plans' / 'p.py'
    assert _system('a.py', 'x', plan) == dict(config=tmp_path / 'a.py', cfg_options={}, encoders=None)
    with pytest.raises(ValueError, match='x of the plan .* names no `config`'):
        _system(dict(encoders=['e']), 'x', plan)


def test_encoders_options_and_seeds_of_a_plan(plan):
    options = dict(
        encoders=dict(one={}, two=dict(cfg_options={'model.backbone.base_channels': 4, 'crop_size': (32, 32)})),
        systems=dict(_delete_=True, a='sharing.py', b=dict(config='sharing.py', encoders=['two'])),
        single_task=None,
        seeds=[5, 3],
        name='mine',
    )
    found = read_plan(plan, options)
    assert [run.title for run in found.runs] == [
        f'{pair}, seed {seed}' for seed in (5, 3) for pair in ('one, a', 'two, a', 'two, b')
    ]
    assert (found.name, found.data, found.budget, found.tasks) == ('mine', 'noise', '4 iterations', ('depth', 'semseg'))
    one, two, _ = found.runs[:3]
    assert (one.cfg.model.backbone.base_channels, two.cfg.model.backbone.base_channels) == (8, 4)
    assert one.cfg.randomness.seed == 5
    hook = one.cfg.default_hooks.checkpoint
    assert (hook.by_epoch, hook.max_keep_ckpts, hook.save_best, 'work_dir' in one.cfg) == (False, 1, None, False)
    assert [backend.type for backend in one.cfg.visualizer.vis_backends] == ['LocalVisBackend']
    assert one.folder('w') == Path('w/runs') / f'one_a_seed5_{one.digest[:8]}'
    for wrong, text in (
        (dict(seeds=[1, 1]), 'has a seed twice'),
        (dict(systems={SINGLE: 'sharing.py'}), 'is the name of'),
    ):
        with pytest.raises(ValueError, match=text):
            read_plan(plan, wrong)
    with pytest.raises(ValueError, match='There is no plan nowhere.py'):
        read_plan('nowhere.py')
