"""What the camera sees of a room."""

import numpy as np
import pytest

from tests.test_synth_rooms.rooms import rendered


@pytest.mark.parametrize('seed', range(4))
def test_normals_are_those_of_the_depth_map_on_planes(seed):
    _, view, rays = rendered(seed)
    points = rays * view.depth[..., None]
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    estimate = np.cross(down, across)  # y is up, rows go down
    estimate /= np.linalg.norm(estimate, axis=-1, keepdims=True)
    normals, instance = view.normals, view.instance
    flat = np.ones(estimate.shape[:2], bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        window = (slice(dy, dy + flat.shape[0]), slice(dx, dx + flat.shape[1]))
        flat &= instance[window] == instance[1:-1, 1:-1]
        flat &= np.abs(normals[window] - normals[1:-1, 1:-1]).max(-1) < 1e-6
    cosine = (estimate * normals[1:-1, 1:-1]).sum(-1)[flat]
    assert flat.mean() > 0.4
    # Two parallel faces of one thing at different depth (steps of a chair) look flat too, so not all pixels agree.
    assert (np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 1).mean() > 0.97


@pytest.mark.parametrize('seed', range(3))
def test_camera_space_is_right_up_and_towards_the_camera(seed):
    scene, view, rays = rendered(seed)
    np.testing.assert_allclose(np.linalg.norm(view.normals, axis=-1), 1, atol=1e-9)
    assert ((view.normals * rays).sum(-1) < 0).all()  # every visible surface faces the camera
    floor = view.instance == 0
    assert floor.any()
    np.testing.assert_allclose(view.normals[floor], np.broadcast_to(scene.camera.axes.T[:, 1], (floor.sum(), 3)))
    assert view.normals[floor][0, 1] > 0.8
    depth = np.where(floor, view.depth, np.nan)
    steps = np.diff(depth, axis=0)
    assert (steps[np.isfinite(steps)] < 0).all()  # lower in the image is nearer
    # The plane of the floor lies as far below the camera as the camera stands high.
    heights = -(rays * view.depth[..., None] @ scene.camera.axes.T[:, 1])[floor]
    np.testing.assert_allclose(heights, scene.camera.position[1], rtol=1e-5)
