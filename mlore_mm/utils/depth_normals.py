"""Surface normals from depth and the intrinsics of the camera."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Pairs of neighbours (dx, dy) whose differences are multiplied: right x up, left x down, and the diagonals.
_PAIRS = (((1, 0), (0, -1)), ((-1, 0), (0, 1)), ((1, 1), (1, -1)), ((-1, -1), (-1, 1)))


def depth_to_points(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """(B, 1, H, W) depth to points (B, 3, H, W) in its unit, x to the right, y down.

    Args:
        depth: Along the camera's axis.
        intrinsics: (B, 4): fx, fy, u0, v0 in pixels of this map, whose first pixel is 0.
    """
    h, w = depth.shape[-2:]
    fx, fy, u0, v0 = (value[:, None, None] for value in intrinsics.to(depth).unbind(dim=1))
    x = (torch.arange(w, dtype=depth.dtype, device=depth.device) - u0) / fx
    y = (torch.arange(h, dtype=depth.dtype, device=depth.device)[:, None] - v0) / fy
    rays = torch.stack([x.expand(-1, h, w), y.expand(-1, h, w), torch.ones_like(depth[:, 0])], dim=1)
    return depth * rays


def normals_from_depth(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """(B, 1, H, W) depth to unit normals (B, 3, H, W); a plane with the normal (a, b, c), c > 0, gives (-a, -b, c).

    The sum of four cross products of differences to neighbours, at unit length, with z made positive. Differences wrap
    around at the edges, so the outer frame means nothing; see :func:`normals_valid`.
    Source: DenseMTL (Lopes et al., WACV 2023).
    Differs: cross products are over the channels for every batch size; for a batch of 3 the published ones are not.

    Args:
        depth: See :func:`depth_to_points`.
        intrinsics: See there.
    """
    points = depth_to_points(depth, intrinsics)

    def difference(step: tuple[int, int]) -> Tensor:
        return points.roll((-step[1], -step[0]), dims=(2, 3)) - points

    total = sum(torch.linalg.cross(difference(first), difference(second), dim=1) for first, second in _PAIRS)
    normals = F.normalize(total, dim=1)
    return torch.cat([normals[:, :2], normals[:, 2:].abs()], dim=1)


def normals_valid(valid: Tensor) -> Tensor:
    """Where normals from depth mean something: (B, 1, H, W) bool, of the pixels with depth those all of whose eight
    neighbours have one too, without the outer frame and what touches it."""
    inner = F.pad(valid[..., 1:-1, 1:-1].float(), (1, 1, 1, 1))
    return F.max_pool2d(1 - inner, 3, stride=1, padding=1) == 0
