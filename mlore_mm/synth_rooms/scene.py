"""Sampling a furnished room with a camera and lights.

Metres, y up; the floor is the rectangle from (0, 0) to (width, depth) in x and z.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import furniture as fur
from .furniture import Thing, number, shades, tint
from .mannequin import mannequin
from .planner import Planner
from .shapes import Material, turn

WALL_THINGS = {'bed': 1.0, 'sofa': 1.2, 'cabinet': 1.2, 'bookshelf': 0.9, 'plant': 0.6, 'lamp': 0.5, 'chair': 0.5}
OPEN_THINGS = {'chair': 1.0, 'plant': 0.3, 'bin': 0.4, 'lamp': 0.3}
BUILDERS = {
    'bed': fur.bed,
    'sofa': fur.sofa,
    'cabinet': fur.cabinet,
    'bookshelf': fur.bookshelf,
    'plant': fur.plant,
    'lamp': fur.lamp,
    'chair': fur.chair,
    'bin': fur.bin_,
}


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. ``axes`` holds the unit vectors right, up and backward (towards the viewer) as columns.

    Args:
        position: (3,) metres.
        axes: (3, 3), right-handed.
        focal: Focal length in units of the longer image side.
    """

    position: np.ndarray
    axes: np.ndarray
    focal: float

    def rays(self, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Directions (3, N) through points in pixels, scaled so that the ray parameter is the depth."""
        height, width = size
        pixels = self.focal * max(size)
        x, y = (columns - width / 2) / pixels, (height / 2 - rows) / pixels
        return np.einsum('ij,jn->in', self.axes, np.stack([x, y, np.full_like(x, -1.0)]))


@dataclass(frozen=True)
class Light:
    """A small bright disc of ``radius`` metres (0: a point) and ``power`` (3,) RGB; a disc casts soft shadows."""

    position: np.ndarray
    power: np.ndarray
    radius: float = 0.0

    def points(self, soft: bool) -> list[np.ndarray]:
        """Points that stand for the light: its middle, or three on the disc."""
        if not (soft and self.radius):
            return [self.position]
        angles = 2 * np.pi * np.arange(3) / 3
        return [self.position + self.radius * np.array([np.cos(a), 0.0, np.sin(a)]) for a in angles]


@dataclass
class Scene:
    """A room: its size (width, height, depth), materials of 'wall', 'floor' and 'ceiling', and what is in it."""

    size: np.ndarray
    materials: dict[str, Material]
    things: list[Thing] = field(default_factory=list)
    camera: Camera | None = None
    lights: list[Light] = field(default_factory=list)


def surfaces(rng: np.random.Generator) -> dict[str, Material]:
    """Wallpaper, floor and ceiling."""
    paper = tint(rng, rng.choice([0.1, 0.13, 0.56, 0.95, 0.3]), 0.14, 0.86)
    wall = ('plain', 'stripes', 'dots')[rng.integers(3)]
    other = tuple(c * 0.9 for c in paper)
    brown = tint(rng, 0.08, 0.5, 0.58)
    floor = (
        Material('planks', shades(brown, 0.6), scale=rng.uniform(0.12, 0.2), seed=number(rng)),
        Material(
            'tiles', (tint(rng, 0.08, 0.2, 0.66), (0.36, 0.33, 0.3)), scale=rng.uniform(0.35, 0.5), seed=number(rng)
        ),
        Material('carpet', shades(tint(rng, 0.07, 0.25, 0.5), 0.75), seed=number(rng)),
    )[rng.choice(3, p=(0.5, 0.3, 0.2))]
    return {
        'wall': Material(wall, (paper, other), scale=rng.uniform(0.1, 0.22), seed=number(rng)),
        'floor': floor,
        'ceiling': Material('plain', ((0.93, 0.93, 0.91), (0.88, 0.88, 0.86)), scale=0.5, seed=number(rng)),
    }


def choose_camera(rng: np.random.Generator, size: np.ndarray) -> Camera:
    """A camera 1.2 to 1.9 m high near one wall, looking across the room and a little down, 55 to 75 degrees wide."""
    plan = Planner(rng, size)
    wall = int(rng.integers(4))
    length = plan.wall_length(wall)
    _, position = plan.on_wall(wall, length * rng.uniform(0.15, 0.85), rng.uniform(0.25, 0.6), rng.uniform(1.2, 1.9))
    target = size * (rng.uniform(0.35, 0.65), 0.0, rng.uniform(0.35, 0.65)) - position
    yaw = np.arctan2(target[0], target[2])
    pitch = -np.deg2rad(rng.uniform(2, 10) + 9 * (position[1] - 1.2))
    forward = np.array([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)])
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, forward), -forward], axis=1)
    return Camera(position, axes, 0.5 / np.tan(np.deg2rad(rng.uniform(55, 75)) / 2))


def choose_lights(rng: np.random.Generator, size: np.ndarray) -> list[Light]:
    """A main light under the ceiling with soft shadows, and a weaker one elsewhere, of different warmth."""
    lights = []
    for power, radius in ((rng.uniform(2.4, 3.4), 0.16), (rng.uniform(0.6, 1.6), 0.0)):
        position = size * (rng.uniform(0.2, 0.8), 1.0, rng.uniform(0.2, 0.8)) - (0, 0.12, 0)
        colour = np.array([1.0, rng.uniform(0.9, 1.0), rng.uniform(0.75, 1.0)])
        lights.append(Light(position, power * colour, radius))
    return lights


def add_people(rng: np.random.Generator, scene: Scene, plan: Planner, count: int) -> None:
    """Mannequins between 1.7 and 3.6 m in front of the camera, turned anywhere but mostly towards it."""
    camera = scene.camera
    for _ in range(count):
        body, seat = mannequin(rng)
        for _ in range(40):
            side, ahead = rng.uniform(-0.4, 0.4), rng.uniform(1.7, 3.6)
            x, _, z = camera.position + ahead * (side * camera.axes[:, 0] - camera.axes[:, 2])
            yaw = np.arctan2(camera.position[0] - x, camera.position[2] - z) + rng.normal(0, 0.7)
            if rng.random() < 0.15:
                yaw += np.pi
            placed = plan.standing(body, x, z, yaw)
            if placed:
                scene.things.append(placed)
                if seat:
                    scene.things.append(seat.placed(yaw, (x, 0.0, z)))
                break


def add_table_group(rng: np.random.Generator, scene: Scene, plan: Planner) -> None:
    """A table in the open, bottles and perhaps a plant on it, chairs around it."""
    desk = fur.table(rng)
    for _ in range(10):
        x, z = scene.size[0] * rng.uniform(0.2, 0.8), scene.size[2] * rng.uniform(0.2, 0.8)
        yaw = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.1)
        placed = plan.standing(desk, x, z, yaw)
        if placed:
            break
    else:
        return
    scene.things.append(placed)
    w, h, d = desk.size
    for offset in np.linspace(-0.3, 0.3, int(rng.integers(1, 4))):
        spot = turn(yaw) @ (offset * w, 0, rng.uniform(-0.25, 0.25) * d) + (x, h, z)
        scene.things.append(fur.bottle(rng).placed(0.0, spot))
    for angle in np.pi / 2 * rng.permutation(4)[: rng.integers(1, 4)]:
        out = turn(yaw + angle) @ (0.0, 0.0, (d if angle % np.pi == 0 else w) / 2 + rng.uniform(0.2, 0.35))
        seat = plan.standing(fur.chair(rng), x + out[0], z + out[2], yaw + angle + np.pi + rng.normal(0, 0.2))
        if seat:
            scene.things.append(seat)


def furnish(rng: np.random.Generator, scene: Scene, plan: Planner) -> None:
    """Doors, windows and pictures on the walls, furniture along them and in the open."""
    hangings = [(fur.door, 0.0)] * int(rng.integers(1, 3)) + [(fur.window, 0.95)] * int(rng.integers(1, 4))
    for build, low in hangings:
        thing = plan.hung(build(rng), low)
        if thing:
            scene.things.append(thing)
    if rng.random() < 0.6:
        add_table_group(rng, scene, plan)
    names, weights = list(WALL_THINGS), np.array(list(WALL_THINGS.values()))
    for name in rng.choice(names, int(rng.integers(4, 8)), p=weights / weights.sum()):
        spot = plan.against_wall(BUILDERS[name](rng))
        if not spot:
            continue
        thing, yaw, position = spot
        scene.things.append(thing)
        if name == 'cabinet' and rng.random() < 0.8:
            on_top = (fur.television, fur.television, fur.bottle, fur.plant)[rng.integers(4)](rng)
            scene.things.append(on_top.placed(yaw, position + (0, thing.size[1], 0)))
    names, weights = list(OPEN_THINGS), np.array(list(OPEN_THINGS.values()))
    for name in rng.choice(names, int(rng.integers(1, 4)), p=weights / weights.sum()):
        x, z = scene.size[0] * rng.uniform(0.1, 0.9), scene.size[2] * rng.uniform(0.1, 0.9)
        thing = plan.standing(BUILDERS[name](rng), x, z, rng.uniform(0, 2 * np.pi))
        if thing:
            scene.things.append(thing)
    for _ in range(rng.integers(2, 6)):
        thing = plan.hung(fur.picture(rng), rng.uniform(1.25, 1.5))
        if thing:
            scene.things.append(thing)


def sample_scene(rng: np.random.Generator, people: int = 0) -> Scene:
    """A random furnished room with the given number of mannequins in front of its camera."""
    size = np.array([rng.uniform(3.6, 6.0), rng.uniform(2.4, 2.9), rng.uniform(3.6, 6.0)])
    scene = Scene(size, surfaces(rng), camera=choose_camera(rng, size), lights=choose_lights(rng, size))
    plan = Planner(rng, size)
    x, _, z = scene.camera.position
    ahead = -scene.camera.axes[:, 2]
    plan.floor.append((x, z, 0.35, 0.35))
    plan.floor.append((x + 0.8 * ahead[0], z + 0.8 * ahead[2], 0.35, 0.35))
    add_people(rng, scene, plan, people)
    furnish(rng, scene, plan)
    return scene
