import numpy as np
import pytest
from numpy.testing import assert_allclose

from mlore_mm.datasets.normals_from_depth import normals_from_depth

INTRINSICS = (120.0, 118.0, 39.5, 29.5)
V, U = np.mgrid[:60, :80]
RAYS = np.dstack([(U - 39.5) / 120, (V - 29.5) / 118, np.ones((60, 80))])


def depth_of_plane(normal, distance) -> np.ndarray:
    """Depth of the plane of points P with normal P = distance; x right, y down, z forward."""
    along = RAYS @ np.asarray(normal, dtype=float)
    return np.where(along > 1e-3, distance / np.where(along > 1e-3, along, 1), 0)


@pytest.mark.parametrize(
    ('normal', 'expected'),
    [
        ((0, 0, 1), (0, 0, 1)),
        ((0.6, 0, 0.8), (-0.6, 0, 0.8)),
        ((0, 0.8, 0.6), (0, 0.8, 0.6)),
        ((0.36, -0.48, 0.8), (-0.36, -0.48, 0.8)),
    ],
)
def test_planes_have_their_normal_everywhere(normal, expected):
    """In the label x points right, y up, z towards the camera: floors (below, y down) point up."""
    normals = normals_from_depth(depth_of_plane(normal, 2.0), INTRINSICS)
    inner = normals[8:-8, 8:-8]
    assert_allclose(inner[inner.any(axis=-1)], np.broadcast_to(expected, inner.shape)[inner.any(axis=-1)], atol=1e-4)
    assert inner.any(axis=-1).mean() > 0.95


def test_a_floor_points_up():
    depth = depth_of_plane((0, 1, 0), 0.5)
    normals = normals_from_depth(np.where(depth < 8, depth, 0), INTRINSICS)
    known = normals.any(axis=-1)
    assert known.any()
    assert_allclose(normals[known], np.broadcast_to((0, 1, 0), normals.shape)[known], atol=1e-3)


def test_steps_and_holes_have_none():
    depth = np.where(U < 40, 2.0, 4.0)
    depth[30, 10] = 0
    known = normals_from_depth(depth, INTRINSICS).any(axis=-1)
    assert not known[20, 37:43].any()
    assert not known[27:34, 8:13].any()
    assert known[20, 20]
    assert known[20, 60]


def test_a_plane_may_bend_by_two_percent():
    """Depth in two halves that differ: a step of 1 % is noise, one of 10 % an edge; other windows and limits too."""
    for ratio, window, step, known in ((1.01, 9, 0.02, True), (1.1, 9, 0.02, False), (1.1, 9, 0.2, True)):
        depth = np.where(U < 40, 2.0, 2.0 * ratio)
        normals = normals_from_depth(depth, INTRINSICS, window=window, step=step)
        assert normals[30, 40].any() == known, (ratio, step)
    hole = np.full((60, 80), 2.0)
    hole[30, 40] = 0
    for window in (3, 5, 9):
        known = normals_from_depth(hole, INTRINSICS, window=window).any(axis=-1)
        assert (~known[30, 20:60]).sum() == (~known[15:45, 40]).sum() == window
        assert (~known).sum() == window**2 + 60 * 80 - (60 - window + 1) * (80 - window + 1)
    assert normals_from_depth(hole, INTRINSICS).dtype == np.float32
