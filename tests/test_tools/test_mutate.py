"""The list of known mistakes fits the package, and a mistake that is made is noticed."""

import runpy

import pytest

from tests.shared import REPO

MUTATE = runpy.run_path(str(REPO / '.dev_scripts/mutate.py'))
MUTANTS = MUTATE['read_list']()


def test_mistakes_can_be_made_and_have_tests():
    """A line of the package may change without its mistake; the runner names those. Most have to fit."""
    assert len({mutant.number for mutant in MUTANTS}) == len(MUTANTS)
    fits = 0
    for mutant in MUTANTS:
        text = (REPO / mutant.file).read_text()
        if text.count(mutant.old) == 1:
            compile(mutant.applied_to(text), mutant.file, 'exec')
            fits += 1
        for test in mutant.tests:
            path, _, name = test.partition('::')
            assert f'def {name}' in (REPO / path).read_text(), test
    assert fits >= 30


def test_a_place_that_is_gone_is_named():
    with pytest.raises(ValueError, match=r"B023: 'init_weights' occurs 0 times in vit.py.*mutants.json up to date"):
        MUTATE['Mutant']('B023', '', 'vit.py', 'init_weights', '', ()).applied_to('nothing')


@pytest.mark.parametrize(('claim', 'verdict'), [('add(1, 0) == 1', 'UNNOTICED'), ('add(1, 2) == 3', 'noticed')])
def test_verdicts(tmp_path, claim, verdict):
    (tmp_path / 'adds.py').write_text('def add(a, b):\n    return a + b\n')
    (tmp_path / 'test_adds.py').write_text(f'from adds import add\n\ndef test_it():\n    assert {claim}\n')
    mutant = MUTATE['Mutant']('X', '', 'adds.py', 'a + b', 'a', ('test_adds.py',))
    assert MUTATE['judge'](tmp_path, mutant, 60) == verdict
    assert (tmp_path / 'adds.py').read_text().endswith('a + b\n')
