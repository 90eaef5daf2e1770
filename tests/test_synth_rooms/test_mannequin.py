"""People."""

import numpy as np
import pytest

from mlore_mm.synth_rooms.mannequin import clothes, mannequin, torso


def test_left_and_right_are_those_of_the_person():
    body, _ = mannequin(np.random.default_rng(0))  # looks along +z with y up, so its left is +x
    for side, sign in (('l', 1), ('r', -1)):
        for limb in ('uarm', 'uleg', 'eye', 'ear'):
            assert all(sign * s.centre[0] > 0 for s in body.shapes if s.part == side + limb)
    nose, neck = (next(s for s in body.shapes if s.part == p) for p in ('nose', 'neck'))
    assert nose.centre[2] > neck.centre[2]
    assert abs(min(s.centre[1] - s.half[1] for s in body.shapes if s.part.endswith('foot'))) < 0.15


def test_the_trunk_stands_upright_between_hip_and_shoulders():
    wear = clothes(np.random.default_rng(0))
    for shape in torso(wear):
        np.testing.assert_allclose(shape.centre[[0, 2]], 0, atol=1e-12)
        np.testing.assert_allclose(np.abs(shape.axes[:, 1]), [0, 1, 0], atol=1e-12)
        assert 0.9 < shape.centre[1] < 1.41
    assert torso(wear)[0].half[1] * 2 == pytest.approx(0.41)  # 0.97 to 1.38 m
