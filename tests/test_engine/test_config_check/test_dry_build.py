"""What constructors say."""

import pytest

from mlore_mm.engine.config_check.dry_build import constructor_says, what_it_says
from mlore_mm.engine.hooks import NonFiniteHook


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
