"""Procedural patterns: colour as a function of the place on a surface. Colours are (3, N), RGB in 0-1."""

from __future__ import annotations

import numpy as np

from .shapes import Material


def lattice(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A fixed random number in [0, 1) for every integer pair: the same on every machine and in every process."""
    h = x.astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    h ^= y.astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= np.uint32(int(seed) * 0xC2B2AE3D & 0xFFFFFFFF)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return h / 2.0**32


def noise(u: np.ndarray, v: np.ndarray, seed: int) -> np.ndarray:
    """Smooth random field in [0, 1) with features about one unit wide."""
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu, v - iv
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    low = lattice(iu, iv, seed) * (1 - fu) + lattice(iu + 1, iv, seed) * fu
    high = lattice(iu, iv + 1, seed) * (1 - fu) + lattice(iu + 1, iv + 1, seed) * fu
    return low * (1 - fv) + high * fv


def mix(first, second, weight: np.ndarray) -> np.ndarray:
    """``first`` where the weight is 0, ``second`` where it is 1."""
    first, second = (np.asarray(c, float).reshape(3, -1) for c in (first, second))
    return first * (1 - weight) + second * weight


def soft_step(x: np.ndarray, width: float = 0.15) -> np.ndarray:
    """0 below, 1 above zero, with a soft passage."""
    return np.clip(x / width + 0.5, 0, 1)


class Spot:
    """Places on a surface: ``u, v`` in metres, ``s, t`` in -1..1 across the face, ``front`` on the faces along z."""

    def __init__(self, metres: np.ndarray, normal: np.ndarray, half: np.ndarray) -> None:
        face = np.abs(normal).argmax(0)
        own = metres / half[:, None]
        self.u, self.v = np.where(face == 0, metres[2], metres[0]), np.where(face == 1, metres[2], metres[1])
        self.s, self.t = np.where(face == 0, own[2], own[0]), np.where(face == 1, own[2], own[1])
        self.front = face == 2


def plain(p: Spot, m: Material) -> np.ndarray:
    return mix(m.colours[0], m.colours[1], 0.5 * noise(p.u / m.scale, p.v / m.scale, m.seed))


def fabric(p: Spot, m: Material) -> np.ndarray:
    weave = 0.5 + 0.25 * np.sin(p.u * 90) + 0.25 * np.sin(p.v * 90)
    fold = noise(p.u / m.scale, p.v / m.scale, m.seed)
    return mix(m.colours[0], m.colours[1], 0.35 * weave + 0.55 * fold)


def stripes(p: Spot, m: Material) -> np.ndarray:
    return mix(m.colours[0], m.colours[1], soft_step(np.sin(np.pi * p.u / m.scale), 0.5))


def bands(p: Spot, m: Material) -> np.ndarray:
    return mix(m.colours[0], m.colours[1], soft_step(np.sin(np.pi * (p.v + 0.3 * p.u) / m.scale), 0.6))


def dots(p: Spot, m: Material) -> np.ndarray:
    row = np.floor(p.v / m.scale)
    u, v = p.u / m.scale + 0.5 * (row % 2), p.v / m.scale
    return mix(m.colours[0], m.colours[1], soft_step(0.28 - np.hypot(u - np.floor(u) - 0.5, v - row - 0.5)))


def planks(p: Spot, m: Material) -> np.ndarray:
    row = np.floor(p.v / m.scale)
    along = p.u / (m.scale * 7) + lattice(row, row, m.seed)
    tone = lattice(row, np.floor(along), m.seed + 1)
    grain = noise(p.u * 4, p.v * 45, m.seed + 2)
    seam = np.abs(p.v / m.scale - row - 0.5) > 0.46
    return mix(m.colours[0], m.colours[1], 0.55 * tone + 0.3 * grain) * np.where(seam, 0.7, 1.0)


def wood(p: Spot, m: Material) -> np.ndarray:
    return mix(m.colours[0], m.colours[1], noise(p.u * 3, p.v * 30, m.seed) * 0.8)


def tiles(p: Spot, m: Material) -> np.ndarray:
    u, v = p.u / m.scale, p.v / m.scale
    tone = lattice(np.floor(u), np.floor(v), m.seed) * 0.5
    grout = np.maximum(np.abs(u - np.floor(u) - 0.5), np.abs(v - np.floor(v) - 0.5)) > 0.46
    return mix(m.colours[0], m.colours[1], np.where(grout, 1.0, tone))


def checker(p: Spot, m: Material) -> np.ndarray:
    return mix(m.colours[0], m.colours[1], (np.floor(p.u / m.scale) + np.floor(p.v / m.scale)) % 2)


def carpet(p: Spot, m: Material) -> np.ndarray:
    return mix(
        m.colours[0], m.colours[1], 0.7 * noise(p.u * 40, p.v * 40, m.seed) + 0.3 * noise(p.u * 3, p.v * 3, m.seed)
    )


def leaves(p: Spot, m: Material) -> np.ndarray:
    return mix(m.colours[0], m.colours[1], soft_step(noise(p.u / m.scale, p.v / m.scale, m.seed) - 0.5, 0.3))


def panel(p: Spot, m: Material) -> np.ndarray:
    """A door or a cabinet front: inset fields and a knob, ``scale`` metres wide each."""
    ground = wood(p, m)
    u, v = p.u / m.scale, p.v / (m.scale * 1.6)
    border = np.maximum(np.abs(u - np.floor(u) - 0.5), np.abs(v - np.floor(v) - 0.5))
    shade = np.where(border > 0.47, 0.5, np.where(border > 0.36, 1.12, 0.95))
    return ground * np.where(p.front, shade, 1.0)


def books(p: Spot, m: Material) -> np.ndarray:
    """Shelves ``scale`` metres apart filled with books; the sides of the case are ``colours[0]``."""
    row, column = np.floor(p.v / m.scale), np.floor(p.u / 0.055 + lattice(np.floor(p.v / m.scale), p.u * 0, 3) * 9)
    height = (p.v / m.scale - row) / (0.7 + 0.28 * lattice(column, row, m.seed))
    hues = np.asarray(m.colours[1:])[(lattice(column, row, m.seed + 1) * (len(m.colours) - 1)).astype(int)].T
    back = np.asarray(m.colours[0])[:, None] * 0.35
    inside = np.where((height < 1) & (height > 0.08), hues, back)
    case = (~p.front) | (np.abs(p.s) > 0.93) | (np.abs(p.t) > 0.97) | (height <= 0.08)
    return np.where(case, np.asarray(m.colours[0])[:, None], inside)


def panes(p: Spot, m: Material) -> np.ndarray:
    """A window: white frame and bars, and a sky that is paler at the horizon, with greenery below."""
    cloud = noise(p.s * 2, p.t * 4, m.seed)
    sky = mix(m.colours[1], (0.95, 0.97, 1.0), np.clip(0.35 - 0.3 * p.t + 0.5 * (cloud - 0.5), 0, 1))
    green = p.t < -0.45 + 0.3 * noise(p.s * 4, p.s * 0, m.seed + 1)
    view = np.where(green, mix((0.25, 0.42, 0.2), (0.4, 0.55, 0.3), cloud), sky)
    frame = (~p.front) | (np.abs(p.s) > 0.9) | (np.abs(p.t) > 0.9) | (np.abs(p.s) < 0.05) | (np.abs(p.t - 0.25) < 0.05)
    return np.where(frame, np.asarray(m.colours[0])[:, None], view)


def art(p: Spot, m: Material) -> np.ndarray:
    """A picture: frame, pale mount, and a painting of soft patches."""
    n = len(m.colours) - 1
    patch = np.floor(noise(p.s * 1.7 + 9, p.t * 1.7, m.seed) * n * 1.6 - 0.3 * n).clip(0, n - 1).astype(int)
    painting = np.asarray(m.colours[1:])[patch].T
    edge = np.maximum(np.abs(p.s), np.abs(p.t))
    painting = np.where(edge > 0.72, 0.92, painting)
    return np.where((edge > 0.86) | ~p.front, np.asarray(m.colours[0])[:, None], painting)


def screen(p: Spot, m: Material) -> np.ndarray:
    """A television: black case, and a dark screen with a pale reflection across it."""
    shine = soft_step(0.25 - np.abs(p.s + 0.5 * p.t - 0.2), 0.4)
    picture = mix(m.colours[1], (0.45, 0.55, 0.7), 0.5 * shine)
    edge = np.maximum(np.abs(p.s), np.abs(p.t))
    return np.where((edge > 0.9) | ~p.front, np.asarray(m.colours[0])[:, None], picture)


PATTERNS = {
    f.__name__: f
    for f in (plain, fabric, stripes, bands, dots, planks, wood, tiles, checker, carpet, leaves, panel, books)
    + (panes, art, screen)
}


def paint(material: Material, metres: np.ndarray, normal: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Colour (3, N) at places given in the own frame of a shape, in metres from its centre."""
    colour = PATTERNS[material.pattern](Spot(metres, normal, half), material)
    return np.broadcast_to(colour, metres.shape)
