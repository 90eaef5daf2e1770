import pytest
from mmengine.config import Config

from mlore_mm.apis import load_config
from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks
from mlore_mm.utils.config_text import config_text
from mlore_mm.utils.config_variables import referenced_variables, resolve_variables
from tests.shared import REPO

CONFIGS = sorted(path for path in (REPO / 'configs').rglob('*.py') if not {'_base_', 'plans'} & set(path.parts))


def resolved(**content) -> dict:
    resolve_variables(content)
    return content


def test_sums_with_numbers_and_pairs():
    result = resolved(
        size=(448, 570),
        iters=30,
        grid='$ceil(size / 16)',
        half=['$size // 2', dict(end='$iters + 1', text='costs $5', same='$size')],
        chain='$grid * 2',
    )
    assert result['grid'] == (28, 36)
    assert result['half'] == [(224, 285), dict(end=31, text='costs $5', same=(448, 570))]
    assert result['chain'] == (56, 72)


def test_a_variable_may_be_anything_and_is_not_shared():
    result = resolved(pipeline=[dict(type='A', size='$size')], size=(1, 2), train='$pipeline', val='$pipeline')
    assert result['train'] == result['val'] == [dict(type='A', size=(1, 2))]
    result['train'][0]['type'] = 'B'
    assert result['val'][0]['type'] == 'A'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(crop_size=1, x=dict(y=['$crop_sise'])), r'x.y.0 is .*no variable crop_sise.*Did you mean \$crop_size'),
        (dict(a='$b', b='$a'), 'a -> b -> a of the config are defined by one another'),
        (dict(a=1, b='$a if a else 2'), "'[$]a if a else 2'. After the [$] comes"),
        (dict(a=1, b='$open(a)'), 'After the'),
        (dict(a='x', b='$a / 2'), r"b is '\$a / 2', which cannot be computed with 'x' and 2"),
    ],
)
def test_mistakes_are_named_with_their_place(content, message):
    with pytest.raises(ValueError, match=message):
        resolve_variables(content)


def test_which_variables_are_used():
    assert referenced_variables(dict(a='$b', c=[dict(d='$ceil(e / f)')], text='plain')) == {'b', 'e', 'f'}


# ---- the published configs -------------------------------------------------------------------------------------------
def leaves(value, place=''):
    """(place, value) of everything that is no container; a pair of numbers is one value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        here = f'{place}.{key}'
        pair = isinstance(item, (list, tuple)) and len(item) == 2 and all(isinstance(x, (int, float)) for x in item)
        if isinstance(item, (dict, list, tuple)) and not pair:
            yield from leaves(item, here)
        else:
            yield here, tuple(item) if pair else item


NEW = dict(crop_size=(96, 160), max_iters=37, max_epochs=37, data_root='/somewhere/else')


@pytest.mark.parametrize(
    ('path', 'way'),
    [
        pytest.param(path, way, id=f'{path.stem}, {way}')
        for path in CONFIGS
        for way in (['command line', 'leaf'] if 'tiny' in path.stem else ['command line'])
    ],
)
def test_what_is_set_once_changes_every_place(path, way, tmp_path):
    before = bind_tasks(Config.fromfile(path)).to_dict()
    new = {key: value for key, value in NEW.items() if key in before}
    assert len(new) == 3  # the length in iterations or in epochs
    if way == 'leaf':
        (tmp_path / 'leaf.py').write_text(f'_base_ = {str(path)!r}\n' + config_text(new))
        cfg = load_config(str(tmp_path / 'leaf.py'))
    else:
        cfg = load_config(str(path), cfg_options=new)
    after = dict(leaves(bind_tasks(cfg).to_dict()))
    for key, value in new.items():
        places = [place for place, x in leaves(before) if x == before[key] and place != f'.{key}']
        places = [place for place in places if '.palette.' not in place]  # colours are numbers below 256
        if key == 'max_epochs':  # a small number, such as depths and intervals are
            places = [place for place in places if place.startswith(('.train_cfg', '.param_scheduler'))]
        assert len(places) >= (1 if key.startswith('max_') else 3)
        assert [place for place in places if after[place] != value] == []
    ends = [x for place, x in after.items() if place.startswith('.param_scheduler') and place.endswith('.end')]
    assert ends[-1] in (37, 38)  # of the last one; a warm-up may come before it
    if 'grid' in cfg.model.decode_head:
        stride = 8 if 'tiny' in path.stem else 16
        assert after['.model.decode_head.grid'] == (96 // stride, 160 // stride)


def test_a_model_of_another_size_is_built():
    cfg = load_config(str(REPO / 'configs/mlore/mlore_tiny_synthrooms_nyud.py'), cfg_options={'crop_size': (250, 320)})
    head = MODELS.build(bind_tasks(cfg).model).decode_head
    assert head.blocks()[0].router.grid == (32, 40)


def test_every_kind_of_sum():
    result = resolved(
        a=7,
        pair=(8, 4),
        sums=[
            '$a + 1',
            '$a - 1',
            '$a * 2',
            '$a / 2',
            '$a // 2',
            '$ceil(a / 2)',
            '$pair // (1 + 1)',
            '$pair * pair',
            '$(a)',
        ],
    )
    assert result['sums'] == [8, 6, 14, 3.5, 3, 4, (4, 2), (64, 16), 7]
    assert resolved(price='$5', text='a $a', empty='$')['price'] == '$5'
    assert resolved(a=[1, 2], b=('$a', 3))['b'] == ([1, 2], 3)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(a=None, b='$a'), 'but the config has no variable a'),
        (dict(zzz=1, b='$qqq'), 'Set it at the top level of the config: qqq = ...'),
        (dict(a=1, b='$a +'), "b is '[$]a [+]'. After the"),
        (dict(a=1, b='$a ** 2'), 'After the'),
        (dict(a=1, b='$ceil(a, 2)'), 'After the'),
        (dict(a=1, b="$a + 'x'"), 'After the'),
        (dict(a=(1, 2), c=(1, 2, 3), b='$a + c'), 'which cannot be computed with'),
        (dict(a='$a'), 'a -> a of the config'),
    ],
)
def test_what_cannot_be_worked_out(content, message):
    with pytest.raises(ValueError, match=message):
        resolve_variables(content)


def test_what_needs_no_change_is_not_replaced():
    content = dict(size=3, items=[1, [2]], part=dict(x='$size', other=[5]), alone='$part')
    items, part, other = content['items'], content['part'], content['part']['other']
    resolve_variables(content)
    assert content['items'] is items
    assert content['part'] is part
    assert content['part']['other'] is other
    assert content['alone'] == dict(x=3, other=[5])
    assert content['alone'] is not part
