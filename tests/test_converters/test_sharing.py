"""Single-task models joined to the start of one that exchanges features; whole models are in test_golden_sharing.py."""

import math

import pytest
import torch

from mlore_mm.converters.sharing import join_files, join_single_tasks


def state(value: float, *tasks: str) -> dict[str, torch.Tensor]:
    heads = {f'decode_head.heads.{task}.conv.weight': torch.full((2,), value) for task in tasks}
    return {'backbone.conv1.weight': torch.full((3,), value), **heads, 'criterion.scale': torch.ones(1)}


def test_each_encoder_and_its_own_head_are_taken():
    joined = join_single_tasks(dict(a=state(1.0, 'a', 'b'), b=state(2.0, 'b')))
    assert {name: x[0].item() for name, x in joined.items()} == {
        'backbone.encoders.a.conv1.weight': 1,
        'decode_head.heads.a.conv.weight': 1,
        'backbone.encoders.b.conv1.weight': 2,
        'decode_head.heads.b.conv.weight': 2,
    }


def test_the_file_that_does_not_serve_is_named(tmp_path):
    paths = {name: str(tmp_path / f'{name}.pth') for name in ('good', 'odd', 'other')}
    for name, content in (('good', state(1.0, 'a')), ('odd', state(math.nan, 'b')), ('other', state(1.0, 'c'))):
        torch.save(dict(state_dict=content), paths[name])
    assert join_files(dict(a=paths['good']), str(tmp_path / 'start.pth')) == 2
    with pytest.raises(ValueError, match=r"odd.pth has weight 'backbone.conv1.weight' with 3 of 3 values"):
        join_files(dict(a=paths['good'], b=paths['odd']), str(tmp_path / 'bad.pth'))
    with pytest.raises(ValueError, match=r"other.pth: The weights given for the task 'b' have heads for \['c'\]"):
        join_files(dict(a=paths['good'], b=paths['other']), str(tmp_path / 'bad.pth'))
    assert not (tmp_path / 'bad.pth').exists()


@pytest.mark.parametrize(
    ('changed', 'told'),
    [
        ({}, 'backbone.conv1.weight is \\(3,\\) in the first and missing in the second'),
        ({'backbone.conv1.weight': torch.ones(2)}, 'backbone.conv1.weight is \\(3,\\) in the first and \\(2,\\) in'),
        (
            {'backbone.conv1.weight': torch.ones(3), 'backbone.conv2.weight': torch.ones(3)},
            'backbone.conv2.weight is missing in the first',
        ),
    ],
)
def test_encoders_that_differ_are_refused(tmp_path, changed, told):
    odd = state(1.0, 'b')
    del odd['backbone.conv1.weight']
    odd.update(changed)
    torch.save(dict(state_dict=state(1.0, 'a')), tmp_path / 'a.pth')
    torch.save(dict(state_dict=odd), tmp_path / 'b.pth')
    with pytest.raises(ValueError, match=told):
        join_single_tasks(dict(a=state(1.0, 'a'), b=odd))
    with pytest.raises(ValueError, match=told):
        join_files({task: str(tmp_path / f'{task}.pth') for task in 'ab'}, str(tmp_path / 'start.pth'))
    assert not (tmp_path / 'start.pth').exists()
