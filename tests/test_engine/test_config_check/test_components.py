"""Ranges of numbers."""

import pytest

from mlore_mm.engine.config_check.components import wrong_number


@pytest.mark.parametrize(
    ('key', 'value', 'wrong'),
    [
        ('max_iters', 1, None), ('max_iters', 0, 'is 0, expected 1 or more'), ('max_iters', True, None),
        ('max_iters', 2.0, None), ('max_iters', 1.5, 'is 1.5, expected a whole number'), ('max_iters', None, None),
        ('max_iters', '3', "is the text '3', expected a number"), ('prob', 'x', None), ('max_iters', [1], None),
        ('max_iters', float('inf'), None), ('lr', 0, None), ('lr', 1e-9, None), ('lr', -1e-9, 'is -1e-09, '),
        ('lr', float('nan'), 'is nan, expected 0 or more'), ('max_norm', 0, 'is 0, expected a number above 0'),
        ('max_norm', 0.1, None), ('prob', 1, None), ('prob', 1.01, 'is 1.01, expected 1 at most'), ('prob', -1, None),
        ('momentum', 1, None), ('momentum', 1.1, 'is 1.1, expected 1 at most'), ('dropout', 0, None),
        ('dropout', 1, 'is 1, expected 0 or more and less than 1'), ('dropout', -0.1, 'is -0.1, expected 0 or more'),
        ('interval', -1, None), ('interval', -2, 'is -2, expected -1 or more'), ('other', -5, None),
    ],
)  # fmt: skip
def test_ranges_of_numbers(key, value, wrong):
    found = wrong_number(key, value)
    assert found is None if wrong is None else found.startswith(wrong)
