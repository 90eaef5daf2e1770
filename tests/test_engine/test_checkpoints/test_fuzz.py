"""A short run of ``.dev_scripts/fuzz_checkpoints.py``."""

import pytest

from tests.test_engine.test_checkpoints.fuzz import cases, outcomes

WAYS = (
    'test .pth',
    'test .safetensors',
    'resume',
    'load_from',
    'init_cfg',
    'converter',
    'converter back',
    'converter vit',
    'mlore2mm',
    'join',
    'extract',
)


@pytest.fixture(scope='module')
def ways(tmp_path_factory):
    return cases(tmp_path_factory.mktemp('fuzz'))


def test_there_is_a_case_for_every_way_in(ways):
    assert tuple(ways) == WAYS


@pytest.mark.parametrize('way', WAYS)
def test_odd_checkpoints_are_named(ways, way, tmp_path):
    counts = outcomes(ways[way], tmp_path, 16, seed=3, unnamed=(foreign := []))
    assert foreign == []
    assert counts['named'] >= 6
    if way in ('test .pth', 'test .safetensors', 'resume'):
        assert counts['other weights'] == 0
