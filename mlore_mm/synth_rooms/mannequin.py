"""A jointed mannequin, posed by joint angles and built of solids named by body part.

The parts carry the names of the PASCAL-Parts annotation; left and right are the mannequin's own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .furniture import Thing, chair, number, shades, tint
from .shapes import Material, Shape, ball, box, rod

POSES = ('stand', 'walk', 'arms_up', 'wave', 'sit')
# Metres, for a mannequin 1.7 m tall.
UPPER_ARM, LOWER_ARM, UPPER_LEG, LOWER_LEG, ANKLE = 0.29, 0.25, 0.42, 0.41, 0.08
HIP, SHOULDER, HEAD = 0.91, 1.41, 1.595


def direction(swing: float, spread: float, side: int) -> np.ndarray:
    """Where a limb points: swing lifts it forward (0 hangs down, pi points up), spread moves it outwards."""
    return np.array([side * np.sin(spread), -np.cos(spread) * np.cos(swing), np.cos(spread) * np.sin(swing)])


def joint_angles(rng: np.random.Generator, pose: str) -> dict[str, tuple[float, float, float]]:
    """(swing, spread, bend) in radians of 'l'/'r' 'arm'/'leg'; elbows bend forward, knees backward."""
    u = rng.uniform
    angles = {s + 'arm': (u(-0.25, 0.35), u(0.12, 0.4), u(0.1, 0.7)) for s in 'lr'}
    angles |= {s + 'leg': (u(-0.08, 0.08), u(0.04, 0.16), u(0.0, 0.08)) for s in 'lr'}
    if pose == 'walk':
        stride, ahead = u(0.35, 0.6), rng.choice([-1, 1])
        for s, sign in (('l', ahead), ('r', -ahead)):
            angles[s + 'leg'] = (sign * stride, u(0.02, 0.08), u(0.05, 0.2) if sign > 0 else u(0.3, 0.6))
            angles[s + 'arm'] = (-sign * stride * 1.1, u(0.1, 0.2), u(0.3, 0.7))
    elif pose == 'arms_up':
        for s in 'lr':
            angles[s + 'arm'] = (u(2.2, 3.0), u(0.2, 0.7), u(-0.1, 0.5))
    elif pose == 'wave':
        angles[rng.choice(['l', 'r']) + 'arm'] = (u(0.9, 1.6), u(0.7, 1.2), u(0.8, 1.7))
    elif pose == 'sit':
        for s in 'lr':
            angles[s + 'leg'] = (u(1.35, 1.55), u(0.05, 0.22), u(1.3, 1.6))
            angles[s + 'arm'] = (u(0.3, 0.8), u(0.1, 0.3), u(0.5, 1.1))
    return angles


def clothes(rng: np.random.Generator) -> dict[str, Material]:
    """Materials of skin, hair, shirt, trousers, shoes, and of the small parts of the face."""
    skin = tuple(np.array([0.88, 0.66, 0.53]) * rng.uniform(0.5, 1.08) * np.array([1.0, rng.uniform(0.94, 1.03), 1.0]))
    hair = [(0.1, 0.07, 0.05), (0.28, 0.16, 0.08), (0.62, 0.47, 0.24), (0.45, 0.44, 0.43)][rng.integers(4)]
    shirt, legwear = tint(rng, rng.random(), 0.62, 0.75), tint(rng, rng.random(), 0.3, 0.28)
    pattern = ('plain', 'bands', 'fabric')[rng.integers(3)]
    plain = {name: Material('plain', shades(c, 0.85)) for name, c in (('skin', skin), ('eye', (0.08, 0.06, 0.05)))}
    return plain | {
        'hair': Material('plain', shades(hair, 0.6), scale=0.03, seed=number(rng)),
        'lips': Material('plain', shades((skin[0] * 0.85, skin[1] * 0.5, skin[2] * 0.5))),
        'shirt': Material(pattern, shades(shirt, 0.65), scale=0.09, seed=number(rng)),
        'trousers': Material('fabric', shades(legwear, 0.7), scale=0.15, seed=number(rng)),
        'shoes': Material('plain', shades((0.16, 0.13, 0.12))),
    }


def head(wear: dict[str, Material], long_hair: bool) -> list[Shape]:
    """Neck, skull, hair and face, looking along +z."""
    skin, y = wear['skin'], HEAD
    shapes = [
        rod((0, SHOULDER + 0.01, -0.005), (0, y - 0.07, 0.005), 0.055, 0.05, skin, part='neck'),
        ball((0, y, 0.01), (0.078, 0.112, 0.092), skin, part='head'),
        ball((0, y + 0.042, -0.022), (0.09, 0.096, 0.096), wear['hair'], part='hair'),
        ball((0, y - 0.012, 0.105), (0.013, 0.02, 0.018), skin, part='nose'),
        ball((0, y - 0.055, 0.09), (0.028, 0.01, 0.012), wear['lips'], part='mouth'),
    ]
    if long_hair:
        shapes.append(ball((0, y - 0.07, -0.055), (0.095, 0.15, 0.055), wear['hair'], part='hair'))
    for side, s in (('l', 1), ('r', -1)):
        shapes.append(ball((s * 0.031, y + 0.02, 0.092), (0.015, 0.01, 0.01), wear['eye'], part=side + 'eye'))
        shapes.append(ball((s * 0.031, y + 0.042, 0.09), (0.02, 0.006, 0.01), wear['hair'], part=side + 'ebrow'))
        shapes.append(ball((s * 0.082, y - 0.005, 0.0), (0.014, 0.03, 0.02), skin, part=side + 'ear'))
    return [replace(s, shadow=s.part in ('neck', 'head', 'hair')) for s in shapes]


def arm(side: str, angles: tuple, wear: dict[str, Material], short_sleeves: bool) -> list[Shape]:
    s, (swing, spread, bend) = (1 if side == 'l' else -1), angles
    start = np.array([s * 0.195, SHOULDER - 0.045, 0.0])
    elbow = start + UPPER_ARM * direction(swing, spread, s)
    toward = direction(swing + bend, spread * 0.5, s)
    wrist = elbow + LOWER_ARM * toward
    lower = wear['skin'] if short_sleeves else wear['shirt']
    return [
        ball(start, 0.06, wear['shirt'], part=side + 'uarm'),
        rod(start, elbow, 0.06, 0.045, wear['shirt'], part=side + 'uarm'),
        ball(elbow, 0.045, lower, part=side + 'larm'),
        rod(elbow, wrist, 0.044, 0.033, lower, part=side + 'larm'),
        ball(wrist + 0.06 * toward, (0.045, 0.06, 0.045), wear['skin'], part=side + 'hand'),
    ]


def leg(side: str, angles: tuple, wear: dict[str, Material]) -> list[Shape]:
    s, (swing, spread, bend) = (1 if side == 'l' else -1), angles
    start = np.array([s * 0.095, HIP, 0.0])
    knee = start + UPPER_LEG * direction(swing, spread, s)
    ankle = knee + LOWER_LEG * direction(swing - bend, spread * 0.3, s)
    return [
        ball(start, 0.095, wear['trousers'], part=side + 'uleg'),
        rod(start, knee, 0.09, 0.062, wear['trousers'], part=side + 'uleg'),
        ball(knee, 0.063, wear['trousers'], part=side + 'lleg'),
        rod(knee, ankle, 0.062, 0.042, wear['trousers'], part=side + 'lleg'),
        box(ankle + (0.0, -0.03, 0.06), (0.09, 0.08, 0.25), wear['shoes'], part=side + 'foot'),
    ]


def torso(wear: dict[str, Material]) -> list[Shape]:
    shirt = wear['shirt']
    return [
        rod((0, HIP + 0.06, 0), (0, SHOULDER - 0.03, 0), 0.15, 0.19, shirt, flat=0.6, part='torso'),
        ball((0, SHOULDER - 0.04, 0), (0.195, 0.065, 0.112), shirt, part='torso'),
        ball((0, HIP + 0.03, 0), (0.165, 0.12, 0.11), wear['trousers'], part='torso'),
    ]


def mannequin(rng: np.random.Generator) -> tuple[Thing, Thing | None]:
    """A person in a random pose with the feet on the floor, and the chair sat on (None unless sitting)."""
    pose = POSES[rng.choice(len(POSES), p=(0.28, 0.22, 0.16, 0.16, 0.18))]
    angles, wear = joint_angles(rng, pose), clothes(rng)
    short = bool(rng.random() < 0.6)
    shapes = head(wear, bool(rng.random() < 0.45)) + torso(wear)
    for side in 'lr':
        shapes += arm(side, angles[side + 'arm'], wear, short) + leg(side, angles[side + 'leg'], wear)
    scale = rng.uniform(0.92, 1.08)
    shapes = [replace(s, centre=s.centre * scale, half=s.half * scale) for s in shapes]
    floor = min(s.centre[1] - s.half[1] for s in shapes if s.part.endswith('foot'))
    down = np.array([0.0, -floor, 0.0])
    seat = None
    if pose == 'sit':
        seat = chair(rng)
        down = np.array([0.0, 0.56 - HIP * scale, -0.06])
    shapes = [s.moved(np.eye(3), down) for s in shapes]
    width, height = (0.75, 1.75 * scale) if pose != 'sit' else (0.8, 1.35 * scale)
    return Thing('person', tuple(shapes), (width, height, width)), seat
