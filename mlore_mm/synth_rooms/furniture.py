"""Things that stand in a room. Every kind has its own form and family of colours, so that it can be told from a photo.

A builder takes a random generator and returns a ``Thing`` whose origin is the middle of its footprint on the floor and
whose front looks along +z. Metres, y up.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from .shapes import Material, Shape, ball, box, rod, turn

WOOD = ((0.46, 0.29, 0.16), (0.3, 0.18, 0.09))
STEEL = Material('plain', ((0.3, 0.3, 0.32), (0.22, 0.22, 0.24)))


@dataclass(frozen=True)
class Thing:
    """One object: its kind (a key of ``classes.KINDS``), its shapes, and the size (x, y, z) of the box around it."""

    kind: str
    shapes: tuple[Shape, ...]
    size: tuple[float, float, float]

    def placed(self, yaw: float, position) -> Thing:
        """The thing turned about the vertical and shifted; ``size`` stays that of the own frame."""
        rotation = turn(yaw)
        return replace(self, shapes=tuple(s.moved(rotation, np.asarray(position, float)) for s in self.shapes))


def tint(rng: np.random.Generator, hue: float, saturation: float, value: float, spread: float = 0.03) -> tuple:
    """A colour near the given hue, saturation and value (each 0-1)."""
    h = (hue + rng.uniform(-spread, spread)) % 1
    s, v = (float(np.clip(c * rng.uniform(0.85, 1.15), 0, 1)) for c in (saturation, value))
    return colorsys.hsv_to_rgb(h, s, v)


def shades(colour: tuple, factor: float = 0.72) -> tuple:
    """The colour and a darker one of the same hue."""
    return tuple(colour), tuple(c * factor for c in colour)


def number(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 16))


def legs(width: float, depth: float, height: float, thick: float, material: Material) -> list[Shape]:
    """Four square legs under the corners of a footprint."""
    x, z = width / 2 - thick / 2, depth / 2 - thick / 2
    return [box((sx * x, height / 2, sz * z), (thick, height, thick), material) for sx in (-1, 1) for sz in (-1, 1)]


def bed(rng: np.random.Generator) -> Thing:
    """Blue bedding with white pillows on a wooden frame, head end at the back."""
    w, d, h = rng.uniform(1.1, 1.7), rng.uniform(1.9, 2.1), rng.uniform(0.42, 0.55)
    frame = Material('wood', WOOD, seed=number(rng))
    cover = Material('bands', shades(tint(rng, 0.6, 0.55, 0.75), 0.8), scale=rng.uniform(0.12, 0.25))
    sheet = Material('plain', ((0.93, 0.93, 0.9), (0.8, 0.82, 0.85)), scale=0.15, seed=number(rng))
    shapes = [
        box((0, h * 0.3, 0), (w, h * 0.6, d), frame),
        box((0, h * 0.75, 0.02), (w * 0.96, h * 0.5, d * 0.97), sheet),
        box((0, h * 0.8, d * 0.13), (w * 1.02, h * 0.46, d * 0.72), cover),
        box((0, h * 0.95, -d / 2 + 0.04), (w, h * 1.9, 0.08), frame),
    ]
    count = 2 if w > 1.35 else 1
    for i in range(count):
        x = (i - (count - 1) / 2) * w * 0.46
        shapes.append(ball((x, h + 0.05, -d * 0.36), (w * 0.38 / count + 0.06, 0.09, 0.2), sheet))
    return Thing('bed', tuple(shapes), (w, h * 1.9, d))


def chair(rng: np.random.Generator) -> Thing:
    """Red to orange seat and back on thin dark legs."""
    w, seat, top = rng.uniform(0.42, 0.5), 0.45, rng.uniform(0.85, 1.0)
    cloth = Material('fabric', shades(tint(rng, 0.02, 0.85, 0.8)), scale=0.1, seed=number(rng))
    dark = Material('wood', WOOD, seed=number(rng))
    shapes = legs(w, w, seat, 0.045, dark)
    shapes.append(box((0, seat, 0), (w, 0.07, w), cloth))
    shapes.append(box((0, (seat + top) / 2 + 0.08, -w / 2 + 0.025), (w, top - seat - 0.16, 0.05), cloth))
    shapes += [
        box((s * (w / 2 - 0.03), (seat + top) / 2, -w / 2 + 0.025), (0.04, top - seat, 0.04), dark) for s in (-1, 1)
    ]
    return Thing('chair', tuple(shapes), (w, top, w))


def sofa(rng: np.random.Generator) -> Thing:
    """A green to teal seat with arms, back and loose cushions."""
    w, d, seat, top = rng.uniform(1.6, 2.1), rng.uniform(0.8, 0.95), 0.42, rng.uniform(0.75, 0.9)
    cloth = Material('fabric', shades(tint(rng, 0.43, 0.5, 0.55, 0.06)), scale=0.2, seed=number(rng))
    pale = replace(cloth, colours=shades(tint(rng, 0.14, 0.55, 0.85)), scale=0.08)
    shapes = [
        box((0, seat / 2 + 0.03, 0), (w, seat - 0.06, d), cloth),
        box((0, top / 2 + 0.05, -d / 2 + 0.11), (w, top - 0.1, 0.22), cloth),
    ]
    for s in (-1, 1):
        shapes.append(box((s * (w / 2 - 0.09), 0.33, 0), (0.18, 0.6, d), cloth))
        shapes.append(box((s * (w / 4 - 0.05), seat + 0.06, 0.08), (w / 2 - 0.14, 0.13, d * 0.72), cloth))
    if rng.random() < 0.6:
        shapes.append(ball((rng.choice([-1, 1]) * (w / 2 - 0.4), seat + 0.27, -0.08), (0.2, 0.2, 0.09), pale))
    return Thing('sofa', tuple(shapes), (w, top, d))


def table(rng: np.random.Generator) -> Thing:
    """A pale top on four legs, or round on one foot."""
    w, d, h = rng.uniform(0.9, 1.5), rng.uniform(0.7, 0.95), rng.uniform(0.68, 0.76)
    top = Material('wood', shades(tint(rng, 0.1, 0.4, 0.85), 0.8), seed=number(rng))
    if rng.random() < 0.3:
        shapes = [rod((0, h - 0.04, 0), (0, h, 0), d / 2, d / 2, top), rod((0, 0.03, 0), (0, h, 0), 0.05, 0.05, STEEL)]
        shapes.append(rod((0, 0, 0), (0, 0.04, 0), 0.25, 0.2, STEEL))
        return Thing('table', tuple(shapes), (d, h, d))
    shapes = [box((0, h - 0.025, 0), (w, 0.05, d), top), box((0, h - 0.09, 0), (w * 0.9, 0.09, d * 0.85), top)]
    return Thing('table', tuple(shapes + legs(w * 0.96, d * 0.94, h - 0.05, 0.07, top)), (w, h, d))


def cabinet(rng: np.random.Generator) -> Thing:
    """An orange-brown case with inset doors."""
    w, h, d = rng.uniform(0.9, 1.5), rng.uniform(0.55, 0.95), rng.uniform(0.4, 0.5)
    case = Material('panel', shades(tint(rng, 0.065, 0.72, 0.62), 0.75), scale=w / rng.integers(2, 4), seed=number(rng))
    base = Material('plain', ((0.15, 0.1, 0.08), (0.1, 0.07, 0.05)))
    shapes = [box((0, h / 2 + 0.04, 0), (w, h - 0.08, d), case), box((0, 0.04, -0.02), (w * 0.96, 0.08, d * 0.9), base)]
    shapes.append(box((0, h - 0.015, 0.01), (w + 0.04, 0.03, d + 0.04), replace(case, pattern='wood')))
    return Thing('cabinet', tuple(shapes), (w, h, d))


def bookshelf(rng: np.random.Generator) -> Thing:
    """A tall dark case filled with books of many colours."""
    w, h, d = rng.uniform(0.7, 1.2), rng.uniform(1.5, 2.0), 0.3
    hues = tuple(
        tint(rng, x, s, v, 0.05) for x, s, v in ((0, 0.7, 0.6), (0.6, 0.6, 0.5), (0.3, 0.4, 0.5), (0.13, 0.6, 0.8))
    )
    hues += (tint(rng, 0.1, 0.15, 0.85), tint(rng, 0.8, 0.4, 0.4))
    case = Material('books', ((0.26, 0.16, 0.1), *hues), scale=rng.uniform(0.3, 0.38), seed=number(rng))
    return Thing('bookshelf', (box((0, h / 2, 0), (w, h, d), case),), (w, h, d))


def lamp(rng: np.random.Generator) -> Thing:
    """A floor lamp with a glowing yellow shade."""
    h, r = rng.uniform(1.4, 1.7), rng.uniform(0.18, 0.25)
    glow = Material('plain', shades(tint(rng, 0.13, 0.45, 1.0), 0.85), emit=1.1)
    shapes = [
        rod((0, 0, 0), (0, 0.03, 0), 0.16, 0.15, STEEL),
        rod((0, 0.03, 0), (0, h - 0.25, 0), 0.02, 0.02, STEEL),
        replace(rod((0, h - 0.32, 0), (0, h, 0), r, r * 0.62, glow), shadow=False),
    ]
    return Thing('lamp', tuple(shapes), (2 * r, h, 2 * r))


def plant(rng: np.random.Generator) -> Thing:
    """Balls of dark green leaves over a terracotta pot."""
    scale = rng.uniform(0.8, 1.3)
    clay = Material('plain', shades(tint(rng, 0.045, 0.65, 0.7)))
    green = Material('leaves', (tint(rng, 0.3, 0.75, 0.35), tint(rng, 0.27, 0.7, 0.6)), scale=0.06, seed=number(rng))
    shapes = [rod((0, 0, 0), (0, 0.3 * scale, 0), 0.12 * scale, 0.17 * scale, clay)]
    shapes.append(rod((0, 0.28 * scale, 0), (0, 0.75 * scale, 0), 0.02, 0.015, Material('wood', WOOD)))
    for _ in range(rng.integers(5, 9)):
        x, z = rng.uniform(-0.15, 0.15, 2) * scale
        leaf = ball((x, rng.uniform(0.42, 0.9) * scale, z), rng.uniform(0.1, 0.2, 3) * scale, green)
        shapes.append(leaf)
    return Thing('plant', tuple(shapes), (0.6 * scale, 1.05 * scale, 0.6 * scale))


def television(rng: np.random.Generator) -> Thing:
    """A flat black set with a bluish screen on a foot."""
    w = rng.uniform(0.75, 1.1)
    h = w * 0.58
    case = Material('screen', ((0.04, 0.04, 0.05), (0.08, 0.13, 0.24)), seed=number(rng))
    foot = Material('plain', ((0.06, 0.06, 0.07), (0.04, 0.04, 0.05)))
    shapes = [box((0, 0.06 + h / 2, 0), (w, h, 0.06), case), box((0, 0.03, 0), (w * 0.3, 0.06, 0.16), foot)]
    return Thing('tv', tuple(shapes), (w, h + 0.06, 0.16))


def bottle(rng: np.random.Generator) -> Thing:
    """A bright violet bottle with a pale stopper."""
    r, h = rng.uniform(0.05, 0.075), rng.uniform(0.2, 0.28)
    glass = Material('plain', shades(tint(rng, 0.8, 0.7, 0.65)), scale=0.05)
    cap = Material('plain', ((0.9, 0.9, 0.8), (0.7, 0.7, 0.6)))
    shapes = [rod((0, 0, 0), (0, h, 0), r, r, glass), rod((0, h, 0), (0, h + 0.06, 0), r, r * 0.4, glass)]
    shapes.append(rod((0, h + 0.06, 0), (0, h + 0.13, 0), r * 0.4, r * 0.4, glass))
    shapes.append(rod((0, h + 0.13, 0), (0, h + 0.16, 0), r * 0.45, r * 0.45, cap))
    return Thing('bottle', tuple(shapes), (2 * r, h + 0.16, 2 * r))


def bin_(rng: np.random.Generator) -> Thing:
    """A grey bucket that widens upwards."""
    r, h = rng.uniform(0.13, 0.18), rng.uniform(0.32, 0.45)
    grey = Material('stripes', ((0.5, 0.52, 0.55), (0.38, 0.4, 0.43)), scale=0.05)
    dark = Material('plain', ((0.08, 0.08, 0.09), (0.05, 0.05, 0.05)))
    shapes = [rod((0, 0, 0), (0, h, 0), r * 0.8, r, grey), rod((0, h, 0), (0, h + 0.004, 0), r * 0.92, r * 0.92, dark)]
    return Thing('bin', tuple(shapes), (2 * r, h, 2 * r))


def window(rng: np.random.Generator) -> Thing:
    """Bright sky and greenery behind white bars; the origin of things on a wall is their middle."""
    w, h = rng.uniform(0.9, 1.6), rng.uniform(0.9, 1.2)
    sky = Material('panes', ((0.95, 0.95, 0.93), tint(rng, 0.57, 0.45, 0.95)), seed=number(rng), emit=0.8)
    return Thing('window', (box((0, 0, 0), (w, h, 0.06), sky, shadow=False),), (w, h, 0.06))


def door(rng: np.random.Generator) -> Thing:
    """A dull red-brown panelled leaf in a pale frame."""
    w, h = rng.uniform(0.8, 0.95), rng.uniform(1.95, 2.1)
    leaf = Material('panel', shades(tint(rng, 0.04, 0.35, 0.45, 0.02), 0.8), scale=w / 2, seed=number(rng))
    frame = Material('plain', ((0.85, 0.84, 0.8), (0.75, 0.74, 0.7)))
    knob = Material('plain', ((0.8, 0.7, 0.35), (0.6, 0.5, 0.2)))
    shapes = (
        box((0, 0, -0.01), (w + 0.14, h + 0.07, 0.05), frame),
        box((0, -0.035, 0.0), (w, h, 0.06), leaf),
        ball((w * 0.4, -0.05, 0.06), 0.035, knob),
    )
    return Thing('door', shapes, (w + 0.14, h + 0.07, 0.07))


def picture(rng: np.random.Generator) -> Thing:
    """An abstract painting with a pale mount in a dark frame."""
    w, h = rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.7)
    colours = [(0.12, 0.09, 0.08), *(tint(rng, rng.random(), 0.45, 0.7) for _ in range(4))]
    canvas = Material('art', tuple(colours), seed=number(rng))
    return Thing('picture', (box((0, 0, 0), (w, h, 0.04), canvas, shadow=False),), (w, h, 0.04))
