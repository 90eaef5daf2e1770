import argparse
import sys

import pytest
from mmengine.config import Config

from mlore_mm.apis import load_config
from mlore_mm.apis.training.config import add_common_options
from mlore_mm.apis.training.overrides import apply_overrides
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO

CONFIG = str(REPO / 'configs/mlore/mlore_tiny_synthrooms_nyud.py')


def parse(*pairs) -> dict:
    parser = argparse.ArgumentParser()
    add_common_options(parser)
    return parser.parse_args(['--cfg-options', *pairs]).cfg_options


def test_dicts_and_what_mmengine_takes():
    assert parse(
        "custom_hooks=[dict(type='EMAHook', begin=-3), dict(type=RoutingHook, on=None, x=(1, [2.5]))]",
        'a.b=dict()',
        "c={'d': 1}",
        'crop_size=(256,320)',
        'names=[depth,semseg]',
        'lr=1e-3',
        'path=work_dirs/x.pth',
        'pair=1,2',
        'flag=False',
    ) == {
        'custom_hooks': [dict(type='EMAHook', begin=-3), dict(type='RoutingHook', on=None, x=(1, [2.5]))],
        'a.b': {},
        'c': {'d': 1},
        'crop_size': (256, 320),
        'names': ['depth', 'semseg'],
        'lr': 1e-3,
        'path': 'work_dirs/x.pth',
        'pair': [1, 2],
        'flag': False,
    }


@pytest.mark.parametrize(
    'pair',
    ['hooks=[dict(type=)]', 'a=dict(b=open(1))', 'nothing', '=1', 'a=dict(1)', 'a=[(1,2', "a=[x(range(0, 2))' | tr"],
)
def test_what_cannot_be_read_is_named(pair, capsys):
    with pytest.raises(SystemExit):
        parse(pair)
    assert pair in capsys.readouterr().err


def test_a_step_of_a_shared_pipeline_changes_for_its_data_set_only():
    cfg = load_config(CONFIG, cfg_options={'train_dataloader.dataset.pipeline.4.prob': 1.0})
    bind_tasks(cfg)
    assert cfg.train_dataloader.dataset.pipeline[4].prob == 1.0
    assert cfg.train_dataloader.dataset.pipeline[6].size == (128, 160)
    assert cfg.train_pipeline[4].prob == 0.5


def test_modules_that_the_command_line_names_are_imported(tmp_path, monkeypatch):
    (tmp_path / 'named_by_the_command_line.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    load_config(CONFIG, cfg_options={'custom_imports.imports': ['mlore_mm', 'named_by_the_command_line']})
    assert sys.modules.pop('named_by_the_command_line')
    with pytest.raises(ValueError, match='custom_imports of the command line: .*mlore_m'):
        load_config(CONFIG, cfg_options={'custom_imports.imports': ['mlore_m']})


def test_an_override_below_a_number_is_named():
    with pytest.raises(ValueError, match="'a.b.c' does not fit"):
        apply_overrides(Config(dict(a=dict(b=1))), {'a.b.c': 2})


def test_settings_reach_through_variables_and_lists():
    cfg = Config(dict(steps=[dict(a=1), dict(a=2)], data=dict(pipeline='$steps', other='$steps', plain=[dict(b=0)])))
    apply_overrides(cfg, {'data.pipeline.1.a': 3, 'data.plain.0.b': 4, 'new.key': 5})
    assert (cfg.data.pipeline, cfg.data.other, cfg.data.plain) == ([dict(a=1), dict(a=3)], '$steps', [dict(b=4)])
    assert (cfg.steps[1].a, cfg.new.key) == (2, 5)
    apply_overrides(cfg, {'data.pipeline': []})
    assert cfg.data.pipeline == []


def test_later_settings_stand_beside_earlier_ones():
    parser = argparse.ArgumentParser()
    add_common_options(parser)
    args = parser.parse_args(['--cfg-options', 'a=1', 'b=dict(c=-2)', '--cfg-options', 'd=[x]', 'a=3'])
    assert args.cfg_options == dict(a=3, b=dict(c=-2), d=['x'])


def test_settings_of_one_dict_add_up():
    """Whether they are said with dots or as a dict, and in whatever order; of one value the last counts."""
    for first, second in (({'a.b': 1}, {'a': dict(c=2)}), ({'a': dict(c=2)}, {'a.b': 1})):
        cfg = Config(dict(a=dict(b=0, c=0, d=dict(e=0))))
        apply_overrides(cfg, {**first, **second, 'a.d': dict(e=3), 'a.d.e': 4})
        assert cfg.a == dict(b=1, c=2, d=dict(e=4))
