"""Normals from depth: a plane, by hand, and the published numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.utils.depth_normals import depth_to_points, normals_from_depth, normals_valid
from tests.shared import shared_path

INTRINSICS = torch.tensor([[50.0, 60.0, 15.5, 11.0]], dtype=torch.float64)


def plane(normal, distance, h=24, w=34):
    """Depth of the plane with points p such that normal . p = distance."""
    rays = depth_to_points(torch.ones(1, 1, h, w, dtype=torch.float64), INTRINSICS)
    return distance / (rays * normal[None, :, None, None]).sum(dim=1, keepdim=True)


def test_a_point_by_hand():
    points = depth_to_points(torch.full((1, 1, 24, 34), 2.0, dtype=torch.float64), INTRINSICS)
    assert_close(points[0, :, 17, 20], torch.tensor([2 * 4.5 / 50, 2 * 6 / 60, 2], dtype=torch.float64))


def test_a_plane_has_one_normal():
    normal = F.normalize(torch.tensor([0.2, -0.5, 0.9], dtype=torch.float64), dim=0)
    depth = plane(normal, 3.0)
    inside = normals_from_depth(depth, INTRINSICS)[..., 1:-1, 1:-1]
    wanted = normal * torch.tensor([-1, -1, 1])
    assert_close(inside, wanted[None, :, None, None].expand_as(inside), rtol=0, atol=1e-9)
    from_inverse = normals_from_depth(1 / depth, INTRINSICS)[..., 1:-1, 1:-1]
    assert from_inverse.flatten(2).std(dim=2).max() > 0.01


def test_a_hole_spreads_by_one_pixel_and_the_frame_by_two():
    valid = torch.ones(1, 1, 9, 9, dtype=torch.bool)
    valid[0, 0, 4, 4] = False
    known = normals_valid(valid)[0, 0]
    assert known.sum() == 25 - 9
    assert not known[3:6, 3:6].any()
    assert known[2:7, 2:7].sum() == known.sum()


def golden():
    return torch.load(shared_path('golden/densemtl/normals_from_depth.pth'), weights_only=True)


@pytest.mark.parametrize(('form', 'key'), [('from_metres', 'depth_metres'), ('from_inverse_depth', 'inverse_depth')])
def test_published_normals(form, key):
    """From metres as we do it, and from inverse depth as published; and for three images, which trip the latter."""
    stored = golden()
    given, wanted = stored['inputs'], stored[form]
    inverse = given['inv_K'].double()
    fx, fy = 1 / inverse[:, 0, 0], 1 / inverse[:, 1, 1]
    intrinsics = torch.stack([fx, fy, -inverse[:, 0, 2] * fx, -inverse[:, 1, 2] * fy], dim=1)
    depth = given[key].double()
    assert_close(depth_to_points(depth, intrinsics).float(), wanted['points'], rtol=1e-6, atol=1e-6)
    normals = normals_from_depth(depth, intrinsics)
    assert_close(normals.float(), wanted['normals_4_bases'], rtol=1e-6, atol=1e-6)
    three = normals_from_depth(depth[[0, 1, 0]], intrinsics[[0, 1, 0]])
    assert_close(three, normals[[0, 1, 0]])


def test_published_masks():
    stored = golden()
    given = stored['inputs']
    assert torch.equal(normals_valid(given['depth_mask']), stored['mask_training'])
    metres = 655.36 / given['inverse_depth'].double() - 1
    in_range = given['depth_mask'] & (metres > 0.001) & (metres < 80)
    assert torch.equal(normals_valid(in_range), stored['mask_validation'])
