"""The three solids every scene is made of, and where rays meet them. Arrays of points and directions are (3, N)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

TINY = 1e-12


def rotate(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``matrix @ vectors`` for (3, N) without BLAS, whose threads would fight with the worker processes."""
    x, y, z = vectors
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix])


@dataclass(frozen=True)
class Material:
    """What a surface looks like: a pattern of ``textures.PATTERNS`` and its colours, RGB in 0-1.

    Args:
        pattern: Name of the pattern.
        colours: Two or more colours; what each is used for depends on the pattern.
        scale: Size of the repeated cell in metres.
        seed: Makes two surfaces of the same pattern differ.
        emit: Light given off, as a multiple of the colour; 0 for anything that is not a lamp or a sky.
    """

    pattern: str = 'plain'
    colours: tuple = ((0.5, 0.5, 0.5), (0.4, 0.4, 0.4))
    scale: float = 0.1
    seed: int = 0
    emit: float = 0.0


@dataclass(frozen=True)
class Shape:
    """A box, an ellipsoid or a frustum (a cylinder or cone along its own y axis), anywhere in space.

    Args:
        kind: 'box', 'ellipsoid' or 'frustum'.
        centre: (3,) metres, y up.
        half: (3,) half sizes along the own axes, in metres; for a frustum x and z are the radii of the lower end.
        material: Its surface.
        axes: (3, 3), the columns are the own axes.
        part: One of the 24 body part names, or ''.
        top: Radius of the upper end of a frustum divided by that of the lower end.
        shadow: Whether it blocks light.
    """

    kind: str
    centre: np.ndarray
    half: np.ndarray
    material: Material
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))
    part: str = ''
    top: float = 1.0
    shadow: bool = True

    @property
    def radius(self) -> float:
        """Radius of a sphere around ``centre`` that holds the whole shape."""
        if self.kind == 'ellipsoid':
            return float(self.half.max())
        width = self.half[[0, 2]] * max(1.0, self.top)
        if self.kind == 'frustum':
            return float(np.hypot(width.max(), self.half[1]))
        return float(np.linalg.norm(self.half))

    def moved(self, rotation: np.ndarray, offset: np.ndarray) -> Shape:
        """The shape turned about the origin, then shifted."""
        return replace(self, centre=rotation @ self.centre + offset, axes=rotation @ self.axes)

    def to_local(self, origin: np.ndarray, dirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rays in the frame in which the shape is the canonical one; ray parameters are unchanged."""
        scaled = (self.axes / self.half).T
        return scaled @ (origin - self.centre), rotate(scaled, dirs)

    def intersect(self, origin: np.ndarray, dirs: np.ndarray) -> np.ndarray:
        """Ray parameter of the first hit, (N,); inf where the ray misses."""
        local_origin, local_dirs = self.to_local(origin, dirs)
        if self.kind == 'box':
            return _hit_box(local_origin, local_dirs)
        if self.kind == 'ellipsoid':
            return _hit_sphere(local_origin, local_dirs)
        return _hit_frustum(local_origin, local_dirs, self.top)

    def surface(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World normals, own coordinates in units of ``half``, and own unscaled normals at surface points (3, N)."""
        own = rotate((self.axes / self.half).T, points - self.centre[:, None])
        if self.kind == 'box':
            normal = np.zeros_like(own)
            face = np.abs(own).argmax(0)[None]
            np.put_along_axis(normal, face, np.sign(np.take_along_axis(own, face, 0)), 0)
        elif self.kind == 'ellipsoid':
            normal = own
        else:
            normal = _frustum_normal(own, self.top)
        world = rotate(self.axes / self.half, normal)
        return world / np.linalg.norm(world, axis=0), own, normal


def _hit_box(origin: np.ndarray, dirs: np.ndarray) -> np.ndarray:
    inverse = 1.0 / np.where(np.abs(dirs) < TINY, TINY, dirs)
    low, high = (-1 - origin)[:, None] * inverse, (1 - origin)[:, None] * inverse
    near, far = np.minimum(low, high).max(0), np.maximum(low, high).min(0)
    return np.where((near <= far) & (near > 0), near, np.inf)


def _hit_sphere(origin: np.ndarray, dirs: np.ndarray) -> np.ndarray:
    a, b, c = (dirs * dirs).sum(0), np.einsum('i,in->n', origin, dirs), origin @ origin - 1
    root = b * b - a * c
    t = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (t > 0), t, np.inf)


def _hit_frustum(origin: np.ndarray, dirs: np.ndarray, top: float) -> np.ndarray:
    """The solid x^2 + z^2 <= (mid - slope y)^2 between y = -1 and y = 1."""
    mid, slope = (1 + top) / 2, (1 - top) / 2
    (ox, oy, oz), (dx, dy, dz) = origin, dirs
    reach, reach_d = mid - slope * oy, -slope * dy
    a = dx * dx + dz * dz - reach_d * reach_d
    a = np.where(np.abs(a) < TINY, TINY, a)
    b = ox * dx + oz * dz - reach * reach_d
    root = b * b - a * (ox * ox + oz * oz - reach * reach)
    spread = np.sqrt(np.maximum(root, 0))
    best = np.full(dx.shape, np.inf)
    for t in ((-b - spread) / a, (-b + spread) / a):
        inside = (root >= 0) & (t > 0) & (np.abs(oy + t * dy) <= 1)
        best = np.where(inside & (t < best), t, best)
    for y, r in ((-1.0, 1.0), (1.0, top)):
        t = (y - oy) / np.where(np.abs(dy) < TINY, TINY, dy)
        inside = (t > 0) & ((ox + t * dx) ** 2 + (oz + t * dz) ** 2 <= r * r)
        best = np.where(inside & (t < best), t, best)
    return best


def _frustum_normal(own: np.ndarray, top: float) -> np.ndarray:
    x, y, z = own
    slope = (1 - top) / 2
    reach = (1 + top) / 2 - slope * y
    on_cap = np.abs(np.abs(y) - 1) < np.abs(np.hypot(x, z) - reach)
    side, cap = np.stack([x, slope * reach, z]), np.stack([np.zeros_like(x), np.sign(y), np.zeros_like(x)])
    return np.where(on_cap, cap, side)


def box(centre, size, material: Material, **kwargs) -> Shape:
    """A box from its centre and full size, metres."""
    return Shape('box', np.asarray(centre, float), np.asarray(size, float) / 2, material, **kwargs)


def ball(centre, half, material: Material, **kwargs) -> Shape:
    """An ellipsoid from its centre and its half sizes (or one radius), metres."""
    return Shape('ellipsoid', np.asarray(centre, float), np.ones(3) * half, material, **kwargs)


def rod(start, end, r0: float, r1: float, material: Material, flat: float = 1.0, **kwargs) -> Shape:
    """A frustum from ``start`` (radius r0) to ``end`` (radius r1); ``flat`` shrinks it along its own z axis."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = np.linalg.norm(end - start)
    y = (end - start) / length
    x = np.cross(y, [0.0, 0.0, 1.0])
    if np.linalg.norm(x) < 1e-3:  # along z: any axis across will do
        x = np.array([1.0, 0.0, 0.0])
    x = x / np.linalg.norm(x)
    axes = np.stack([x, y, np.cross(x, y)], axis=1)
    half = np.array([r0, length / 2, r0 * flat])
    return Shape('frustum', (start + end) / 2, half, material, axes=axes, top=r1 / r0, **kwargs)


def turn(yaw: float) -> np.ndarray:
    """Rotation about the vertical by ``yaw`` radians; it takes +z to (sin yaw, 0, cos yaw)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
