"""Damaged files end in an error that names them; where the format has a checksum, nothing else is read from them."""

import pytest

from tests.test_datasets.fuzz import CASES, outcomes


@pytest.mark.parametrize('name', CASES)
def test_damaged_files_are_named(tmp_path, name):
    counts = outcomes(name, tmp_path, mutations=20)
    assert counts['unnamed'] == 0
    assert counts['named'] > (9 if CASES[name].checksum else 0)
    if CASES[name].checksum:
        assert counts['other pixels'] == 0
