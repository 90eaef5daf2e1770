"""Rays and solids."""

import numpy as np
import pytest

from mlore_mm.synth_rooms.shapes import Material, ball, box, rod


@pytest.mark.parametrize(
    'shape',
    [
        box((0.2, 0.1, 3.0), (1.0, 0.6, 0.8), Material()),
        ball((0.0, 0.2, 3.0), (0.5, 0.3, 0.9), Material()),
        rod((-0.3, -0.4, 2.6), (0.4, 0.5, 3.4), 0.4, 0.15, Material()),
    ],
    ids=['box', 'ellipsoid', 'frustum'],
)
def test_rays_stop_at_the_first_point_of_the_solid(shape):
    def inside(points):
        x, y, z = (shape.axes / shape.half).T @ (points - shape.centre[:, None])
        if shape.kind == 'box':
            return np.maximum(np.maximum(abs(x), abs(y)), abs(z)) <= 1
        if shape.kind == 'ellipsoid':
            return x * x + y * y + z * z <= 1
        return (abs(y) <= 1) & (np.hypot(x, z) <= (1 + shape.top) / 2 - (1 - shape.top) / 2 * y)

    rng = np.random.default_rng(0)
    dirs = np.concatenate([rng.uniform(-0.3, 0.3, (2, 400)), np.ones((1, 400))])
    t = shape.intersect(np.zeros(3), dirs)
    steps = np.linspace(0, 6, 1201)
    marched = np.stack([inside(dirs * s) for s in steps])  # (steps, rays)
    first = np.where(marched.any(0), steps[marched.argmax(0)], np.inf)
    clear = marched.sum(0) != 1  # a grazing ray may pass between two steps
    assert np.isfinite(t).sum() > 20
    assert (np.isfinite(t) == np.isfinite(first))[clear].mean() > 0.98
    both = np.isfinite(t) & np.isfinite(first)
    assert np.abs(t[both] - first[both]).max() <= 0.005 + 1e-9
    normal, _, _ = shape.surface(dirs[:, both] * t[both])
    assert ((normal * dirs[:, both]).sum(0) < 0).all()
    assert inside(dirs[:, both] * t[both] - 1e-6 * normal).all()


def test_a_ray_from_a_face_leaves_its_box():
    """Points on a surface look at the lights; the solid itself is no hit at a distance of 0."""
    solid = box((0, 0, 0), (2, 2, 2), Material())
    outward, through = np.array([[0.0], [0.0], [-1.0]]), np.array([[0.0], [0.0], [1.0]])
    for rays in (outward, through):
        assert solid.intersect(np.array([0.0, 0.0, -1.0]), rays).tolist() == [np.inf]
    assert solid.intersect(np.array([0.0, 0.0, -3.0]), through).tolist() == [2]
