"""Where things can stand and hang in a room without being in each other's way."""

from __future__ import annotations

import numpy as np

from .furniture import Thing


class Planner:
    """Keeps track of what is taken, on the floor and along the walls, while a room is being furnished."""

    def __init__(self, rng: np.random.Generator, size: np.ndarray) -> None:
        self.rng, self.size = rng, size
        self.floor: list[tuple[float, float, float, float]] = []
        self.walls: list[tuple[int, float, float, float, float]] = []

    def free(self, x: float, z: float, hx: float, hz: float, gap: float = 0.06) -> bool:
        """Whether a rectangle lies inside the room and clear of all others."""
        if min(x - hx, z - hz) < 0 or x + hx > self.size[0] or z + hz > self.size[2]:
            return False
        return all(abs(x - a) > hx + c + gap or abs(z - b) > hz + d + gap for a, b, c, d in self.floor)

    def wall_length(self, wall: int) -> float:
        return self.size[0] if wall in (0, 2) else self.size[2]

    def on_wall(self, wall: int, along: float, out: float, height: float) -> tuple[float, np.ndarray]:
        """Yaw and position of something on wall 0-3, ``along`` metres from its start, facing the room."""
        width, _, depth = self.size
        spots = ((along, out), (width - out, along), (along, depth - out), (out, along))
        x, z = spots[wall]
        return (0.0, -np.pi / 2, np.pi, np.pi / 2)[wall], np.array([x, height, z])

    def wall_free(self, wall: int, along: float, half: float, low: float, high: float) -> bool:
        if along - half < 0.05 or along + half > self.wall_length(wall) - 0.05:
            return False
        return all(w != wall or abs(along - a) > half + h + 0.1 or low > t or high < b for w, a, h, b, t in self.walls)

    def against_wall(self, thing: Thing, tries: int = 12) -> tuple[Thing, float, np.ndarray] | None:
        """The thing backed against a wall where there is room, its yaw and position; None if there is none."""
        w, h, d = thing.size
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            along = self.rng.uniform(w / 2, max(w / 2 + 0.01, self.wall_length(wall) - w / 2))
            yaw, position = self.on_wall(wall, along, d / 2 + 0.05, 0.0)
            hx, hz = (w / 2, d / 2) if wall in (0, 2) else (d / 2, w / 2)
            if self.free(position[0], position[2], hx, hz) and self.wall_free(wall, along, w / 2, 0.0, h):
                self.floor.append((position[0], position[2], hx, hz))
                self.walls.append((wall, along, w / 2, 0.0, h))
                return thing.placed(yaw, position), yaw, position
        return None

    def standing(self, thing: Thing, x: float, z: float, yaw: float) -> Thing | None:
        """The thing at a place in the room, or None where that is taken."""
        w, _, d = thing.size
        c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
        hx, hz = (w * c + d * s) / 2, (w * s + d * c) / 2
        if not self.free(x, z, hx, hz):
            return None
        self.floor.append((x, z, hx, hz))
        return thing.placed(yaw, (x, 0.0, z))

    def hung(self, thing: Thing, low: float, tries: int = 8) -> Thing | None:
        """The thing on a wall with its lower side at ``low`` metres, or None where there is no room."""
        w, h, d = thing.size
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            along = self.rng.uniform(w / 2, self.wall_length(wall) - w / 2)
            if self.wall_free(wall, along, w / 2, low, low + h):
                self.walls.append((wall, along, w / 2, low, low + h))
                if low == 0:
                    _, position = self.on_wall(wall, along, 0.3, 0.0)
                    self.floor.append((position[0], position[2], w / 2, w / 2))
                return thing.placed(*self.on_wall(wall, along, d / 2, low + h / 2))
        return None
