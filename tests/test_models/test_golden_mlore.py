"""The published models, number for number; needs the reference data."""

import pytest
import torch

from mlore_mm.converters.mlore import mm_to_official, official_to_mm
from tests.golden_checks import compare
from tests.golden_mlore import NAMES, load_golden


@pytest.fixture(params=NAMES)
def golden(request):
    return load_golden(request.param)


def test_every_group_of_numbers(golden, tmp_path):
    """See tests/golden_checks.py for groups and tolerances; .dev_scripts/golden_report.py prints the table."""
    rows = list(compare(golden, tmp_path))
    assert len(rows) >= 23
    assert [row for row in rows if row.verdict == 'ABOVE'] == []
    beyond_tolerance = {row.group.split(' after')[0] for row in rows if row.verdict == 'rounding'}
    steps = {f'step {i}: gradient norm' for i in (2, 3)}
    assert beyond_tolerance <= {*steps, 'batch-norm means', 'evaluation outputs'}


def test_parameter_count_and_round_trip(golden, tmp_path):
    model = golden.model(tmp_path)
    assert sum(p.numel() for p in model.parameters()) == golden.meta['num_parameters']
    back = mm_to_official(official_to_mm(golden.official)[0], golden.meta['config']['ranks'])
    assert set(back) == set(golden.official)
    assert all(torch.equal(back[key], value) for key, value in golden.official.items())
