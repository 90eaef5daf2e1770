"""Images with the numbers that the SEISM protocol gives for them: four here, 14 where the reference data lies."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mlore_mm.evaluation.functional.boundary import boundary_ground_truth, read_labels, read_prediction
from tests.shared import REPO, shared_path

COMPACT = REPO / 'tests' / 'data' / 'boundary'
COMPACT_NAMES = ('a01', 'a06', 'a09', 'a13')
FULL_NAMES = tuple(f'a{number:02}' for number in range(1, 15))


@dataclass
class BoundaryReference:
    expected: dict
    prediction_path: Path
    label_path: Path

    @property
    def prediction(self) -> np.ndarray:
        return read_prediction(self.prediction_path)

    @property
    def labels(self) -> np.ndarray:
        return read_labels(self.label_path)

    @property
    def ground_truth(self) -> np.ndarray:
        return boundary_ground_truth(self.labels)


def compact_reference(name: str) -> BoundaryReference:
    return _reference(COMPACT, name)


def full_reference(name: str) -> BoundaryReference:
    return _reference(shared_path('golden/boundary'), name)


@cache
def read_expected(folder: Path) -> dict:
    return json.loads((folder / 'expected.json').read_text())


def _reference(folder: Path, name: str) -> BoundaryReference:
    expected = read_expected(folder)['images'][name]
    return BoundaryReference(expected, folder / expected['prediction'], folder / expected['ground_truth'])


over_references = pytest.mark.parametrize(
    ('load', 'name'),
    [pytest.param(compact_reference, name, id=f'compact-{name}') for name in COMPACT_NAMES]
    + [pytest.param(full_reference, name, id=f'full-{name}') for name in FULL_NAMES],
)
