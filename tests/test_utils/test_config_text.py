import pytest
from mmengine.config import Config

from mlore_mm.tasks import bind_tasks
from mlore_mm.utils.config_text import WIDTH, OrderedConfig, config_text
from tests.shared import REPO


def read(text: str) -> dict:
    namespace = {}
    exec(text, {}, namespace)
    return namespace


@pytest.mark.parametrize(
    'value',
    [
        dict(b=1, a=2),
        {'not an identifier': 1, 'b': dict(c=[1, (2,), ()])},
        {1: 'one', 'class': 2},
        dict(text="it's \n quoted", nothing=None, flags=[True, False], small=1e-06, empty={}, big=float('inf')),
        dict(long=[dict(type='A' * 50, x=(1, 2)) for _ in range(5)], names=tuple(f'class {i}' for i in range(60))),
        dict(deep=dict(deeper=dict(deepest=[['x' * 40] * 3] * 4))),
    ],
)
def test_text_reads_back_in_order(value):
    text = config_text(dict(value=value, other=1))
    back = read(text)
    assert back == dict(value=value, other=1)
    assert list(back['value']) == list(value)
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.parametrize('layout', ['nyud', 'pascal'])
def test_configs_survive_a_file(tmp_path, layout):
    cfg = Config.fromfile(str(REPO / f'configs/mlore/mlore_tiny_synthrooms_{layout}.py'))
    bound = bind_tasks(OrderedConfig.from_config(cfg))
    bound.dump(tmp_path / 'dumped.py')
    back = Config.fromfile(str(tmp_path / 'dumped.py'))
    assert back.to_dict() == bound.to_dict()
    assert list(back.tasks) == list(cfg.tasks) != sorted(cfg.tasks)
    assert list(back.model.tasks) == list(cfg.tasks)


def test_a_config_is_taken_over_whole_and_not_copied():
    source = Config(dict(b=1, a=dict(c=2)), cfg_text='b = 1', filename='x.py')
    ordered = OrderedConfig.from_config(source)
    assert ordered._cfg_dict is source._cfg_dict
    assert (ordered.text, ordered.filename, ordered.env_variables) == (source.text, 'x.py', source.env_variables)
    assert OrderedConfig.from_config(dict(b=1, a=2)).pretty_text == 'b = 1\na = 2\n'


def test_what_repr_does_not_write_as_source():
    text = config_text(dict(kind=Config, low=-float('inf'), odd=[float('nan')], pair=(1, Config)))
    assert text.splitlines() == [
        "kind = 'mmengine.config.config.Config'",
        "low = float('-inf')",
        "odd = [float('nan')]",
        "pair = (1, 'mmengine.config.config.Config')",
    ]


def test_lines_end_at_the_width_and_go_on_below_the_value():
    first, second = config_text(dict(name=['x' * 60, 'y' * 60])).splitlines()
    assert (first.index('x'), second.index('y')) == (9, 9)
    assert config_text(dict(n=['x' * (WIDTH - 4 - 7)] * 1 + [1])).count('\n') == 1
    assert config_text(dict(n=['x' * (WIDTH - 4 - 6)] * 1 + [1])).count('\n') == 2
    assert config_text(dict(text='a\nb')) == "text = 'a\\nb'\n"
