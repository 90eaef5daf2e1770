"""Patterns, which published trainings rest on: who changes them raises VERSION."""

import numpy as np
import pytest

from mlore_mm.synth_rooms.shapes import Material
from mlore_mm.synth_rooms.textures import PATTERNS, lattice, noise, paint
from tests.test_synth_rooms.rooms import digest


def test_noise_is_between_its_four_corners():
    """At the corners a corner's number, in the middle their mean, at a quarter 3/16 - 2/64 of the next one."""
    corners = lattice(np.array([2.0, 3, 2, 3]), np.array([5.0, 5, 6, 6]), 7)
    assert len(set(corners)) == 4
    assert noise(np.array([2.0, 3, 2, 3]), np.array([5.0, 5, 6, 6]), 7) == pytest.approx(corners)
    assert noise(np.array([2.5]), np.array([5.5]), 7) == pytest.approx(corners.mean())
    low, high = (corners[i] * 0.84375 + corners[i + 1] * 0.15625 for i in (0, 2))
    assert noise(np.array([2.25]), np.array([5.75]), 7) == pytest.approx(low * 0.15625 + high * 0.84375)


def test_patterns_of_version_1():
    """On two faces of a box of 1.2 x 0.8 x 0.6 m."""
    rng, half = np.random.default_rng(0), np.array([0.6, 0.4, 0.3])
    places = rng.uniform(-1, 1, (3, 400)) * half[:, None]
    painted = []
    for pattern in PATTERNS:
        material = Material(pattern, ((0.9, 0.1, 0.2), (0.1, 0.8, 0.3), (0.2, 0.3, 0.7)), scale=0.15, seed=5)
        for face in np.eye(3):
            painted.append(paint(material, places, np.broadcast_to(face[:, None], (3, 400)), half))
    assert len(PATTERNS) == 16
    assert digest(painted) == '0d0ad7f7'
