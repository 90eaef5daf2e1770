"""Ray casting a scene: what each pixel sees, and the photo. Arrays over rays are (N,) or (3, N)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .classes import KINDS, PART_NAMES
from .scene import Scene
from .shapes import Shape
from .textures import paint

ROOM = ('floor', 'ceiling', 'wall', 'wall', 'wall', 'wall')  # the first instances; things follow in their order


@dataclass
class View:
    """One rendered image and its exact labels, all (H, W) unless said otherwise.

    Args:
        photo: (H, W, 3) uint8.
        depth: Distance from the camera plane along the viewing direction, metres, float32.
        normals: (H, W, 3) unit vectors in camera space, x right, y up, z towards the camera.
        instance: 0-5 are floor, ceiling and walls, then the things of the scene.
        kinds: Kind of every instance number.
        part: Body part, 1 + position in ``PART_NAMES``; 0 elsewhere.
    """

    photo: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    instance: np.ndarray
    kinds: tuple[str, ...]
    part: np.ndarray

    def labels(self, scheme: str) -> np.ndarray:
        """Class numbers in the scheme 'nyud', 'voc' or 'context', (H, W) uint16."""
        return np.array([getattr(KINDS[k], scheme) for k in self.kinds], np.uint16)[self.instance]


@dataclass
class Hits:
    """Where rays end: the ray parameter, the instance, and the shape within the scene (-1 for the room itself)."""

    t: np.ndarray
    instance: np.ndarray
    shape: np.ndarray


class Renderer:
    """Casts rays into one scene. Rays that share an origin are first sorted out by spheres around things and shapes."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.shapes: list[Shape] = [s for thing in scene.things for s in thing.shapes]
        self.owner = [len(ROOM) + i for i, thing in enumerate(scene.things) for _ in thing.shapes]
        self.kinds = ROOM + tuple(thing.kind for thing in scene.things)
        self.spheres = [(s.centre, s.radius) for s in self.shapes]
        self.groups, first = [], 0
        for thing in scene.things:
            members = range(first, first + len(thing.shapes))
            self.groups.append((*around([self.spheres[k] for k in members]), members))
            first = members.stop

    def room(self, origin: np.ndarray, dirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ray parameter and instance (0-5) at the inside of the room, which every ray reaches."""
        safe = np.where(np.abs(dirs) < 1e-12, 1e-12, dirs)
        exits = np.where(safe > 0, self.scene.size[:, None] - origin[:, None], -origin[:, None]) / safe
        axis = exits.argmin(0)
        positive = np.take_along_axis(safe, axis[None], 0)[0] > 0
        instance = np.array([[5, 3], [0, 1], [2, 4]])[axis, positive.astype(int)]
        return exits.min(0), instance

    def candidates(self, origin: np.ndarray, dirs: np.ndarray, shadow: bool):
        """Pairs of shape number and the rays that pass its bounding sphere: all rays share one origin."""
        unit = dirs / np.sqrt((dirs * dirs).sum(0))
        for centre, radius, members in self.groups:
            near = passing(origin, unit, centre, radius)
            if not near.size:
                continue
            unit_near = unit[:, near]
            for k in members:
                if shadow and not self.shapes[k].shadow:
                    continue
                rays = near[passing(origin, unit_near, *self.spheres[k])] if len(members) > 1 else near
                if rays.size:
                    yield k, rays

    def cast(self, origin: np.ndarray, dirs: np.ndarray) -> Hits:
        """The nearest surface along each ray."""
        t, instance = self.room(origin, dirs)
        shape = np.full(t.shape, -1)
        for k, rays in self.candidates(origin, dirs, shadow=False):
            found = self.shapes[k].intersect(origin, dirs[:, rays])
            nearer = found < t[rays]
            hit = rays[nearer]
            t[hit], instance[hit], shape[hit] = found[nearer], self.owner[k], k
        return Hits(t, instance, shape)

    def lit(self, light: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Whether each point (3, N) is reached by light from the point ``light``."""
        dirs = points - light[:, None]
        lit = np.ones(points.shape[1], bool)
        for k, rays in self.candidates(light, dirs, shadow=True):
            rays = rays[lit[rays]]
            lit[rays] = self.shapes[k].intersect(light, dirs[:, rays]) > 1 - 1e-3
        return lit

    def surface(self, points: np.ndarray, hits: Hits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World normals (3, N), colours (3, N) and light given off (N,) at the hits."""
        normal, colour, emit = np.zeros_like(points), np.zeros_like(points), np.zeros(points.shape[1])
        order = np.argsort(hits.shape, kind='stable')
        numbers, starts = np.unique(hits.shape[order], return_index=True)
        for k, rays in zip(numbers, np.split(order, starts[1:]), strict=True):
            if k < 0:
                self.room_surface(points, hits.instance, rays, normal, colour)
                continue
            shape = self.shapes[k]
            normal[:, rays], own, own_normal = shape.surface(points[:, rays])
            colour[:, rays] = paint(shape.material, own * shape.half[:, None], own_normal, shape.half)
            emit[rays] = shape.material.emit
        return normal, colour, emit

    def room_surface(self, points, instance, rays, normal, colour) -> None:
        """Fill in normals and colours of floor, ceiling and walls, darker towards the corners of the room."""
        size = self.scene.size
        inward = np.array([[0, 1, 0], [0, -1, 0], [0, 0, 1], [-1, 0, 0], [0, 0, -1], [1, 0, 0]], float)
        for i, name in enumerate(ROOM):
            own = rays[instance[rays] == i]
            if not own.size:
                continue
            p, n = points[:, own], np.broadcast_to(inward[i][:, None], (3, own.size))
            normal[:, own] = n
            away = np.minimum(p, size[:, None] - p)[inward[i] == 0].min(0)
            colour[:, own] = paint(self.scene.materials[name], p, n, size / 2) * (1 - 0.3 * np.exp(-away / 0.2))

    def radiance(self, points, normal, colour, emit, soft: bool) -> np.ndarray:
        """Linear light (3, N) that leaves the surface: ambient, and that of every light where nothing is in between."""
        total = (0.4 - 0.12 * normal[1]) * np.ones((3, 1)) + emit
        lifted = points + 1e-4 * normal
        for light in self.scene.lights:
            positions = light.points(soft)
            for position in positions:
                to_light = position[:, None] - lifted
                square = (to_light * to_light).sum(0)
                share = np.maximum((to_light * normal).sum(0), 0) / np.sqrt(square) / (1 + square / 4)
                facing = np.flatnonzero(share > 0.005)
                share[facing] *= self.lit(position, lifted[:, facing])
                total = total + light.power[:, None] * (share / len(positions))
        return colour**2.2 * total

    def look(self, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int], soft: bool = True):
        """Hits, world normals and radiance at points of the image, in pixels."""
        origin = self.scene.camera.position
        dirs = self.scene.camera.rays(rows, columns, size)
        hits = self.cast(origin, dirs)
        points = origin[:, None] + hits.t * dirs
        normal, colour, emit = self.surface(points, hits)
        return hits, normal, self.radiance(points, normal, colour, emit, soft)


def around(spheres: list[tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
    """A sphere that holds the given ones."""
    low = np.min([c - r for c, r in spheres], axis=0)
    high = np.max([c + r for c, r in spheres], axis=0)
    centre = (low + high) / 2
    return centre, max(float(np.linalg.norm(c - centre)) + r for c, r in spheres)


def passing(origin: np.ndarray, unit: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Numbers of the rays (unit directions) that come within ``radius`` of ``centre``, ahead of the origin."""
    toward = centre - origin
    square = toward @ toward
    if square <= radius * radius:
        return np.arange(unit.shape[1])
    ahead = toward[0] * unit[0] + toward[1] * unit[1] + toward[2] * unit[2]
    return np.flatnonzero(ahead >= np.sqrt(square - radius * radius))


def preview(scene: Scene, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Instance and depth (H, W) only, and the kinds of the instances: to judge a view before rendering it."""
    renderer = Renderer(scene)
    rows, columns = np.mgrid[: size[0], : size[1]].reshape(2, -1) + 0.5
    hits = renderer.cast(scene.camera.position, scene.camera.rays(rows, columns, size))
    return hits.instance.reshape(size), hits.t.reshape(size), renderer.kinds


def render(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> View:
    """The photo, supersampled where surfaces meet, and exact labels taken at the pixel centres.

    Args:
        scene: What to look at.
        size: Height and width in pixels.
        rng: For the camera noise only.
    """
    renderer = Renderer(scene)
    rows, columns = np.mgrid[: size[0], : size[1]].reshape(2, -1) + 0.5
    hits, normal, light = renderer.look(rows, columns, size)
    surface = np.where(hits.shape < 0, hits.instance - len(ROOM), hits.shape).reshape(size)
    border = np.flatnonzero(ndimage.maximum_filter(surface, 3) != ndimage.minimum_filter(surface, 3))
    if border.size:
        offsets = [(dy, dx) for dy in (-0.25, 0.25) for dx in (-0.25, 0.25)]
        fine_rows, fine_columns = np.concatenate([(rows[border] + dy, columns[border] + dx) for dy, dx in offsets], 1)
        fine = renderer.look(fine_rows, fine_columns, size, soft=False)[2]
        light[:, border] = fine.reshape(3, len(offsets), -1).mean(1)
    part_of = np.array([1 + PART_NAMES.index(s.part) if s.part else 0 for s in renderer.shapes] + [0], np.uint8)
    return View(
        photo=develop(light.T.reshape(*size, 3), rng),
        depth=hits.t.reshape(size).astype(np.float32),
        normals=np.einsum('ij,in->nj', scene.camera.axes, normal).reshape(*size, 3),
        instance=hits.instance.reshape(size),
        kinds=renderer.kinds,
        part=part_of[hits.shape].reshape(size),
    )


def develop(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From linear light to an 8-bit photo: automatic exposure, soft highlights, gamma, a little sensor noise."""
    exposure = rng.uniform(0.75, 1.1) / (np.median(light) + 1e-6)
    photo = (1 - np.exp(-0.45 * exposure * light)) ** (1 / 2.2)
    photo = photo + rng.normal(0, rng.uniform(0.004, 0.012), photo.shape)
    return np.clip(np.rint(photo * 255), 0, 255).astype(np.uint8)
