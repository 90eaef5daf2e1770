"""What the tests of SynthRooms look at: small rooms, small views, and their checksums."""

from dataclasses import is_dataclass
from zlib import crc32

import numpy as np

from mlore_mm.synth_rooms.render import View, render
from mlore_mm.synth_rooms.scene import sample_scene

SIZE = (60, 80)


def rendered(seed: int, people: int = 1):
    """A scene, its view, and the viewing directions in camera space, (H, W, 3), of depth 1."""
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, people)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].reshape(2, -1) + 0.5
    world = scene.camera.rays(rows, columns, SIZE)
    return scene, render(scene, SIZE, rng), (scene.camera.axes.T @ world).T.reshape(*SIZE, 3)


def small_view(instance, kinds) -> View:
    instance = np.asarray(instance)
    zeros = np.zeros(instance.shape)
    return View(np.zeros((*instance.shape, 3), np.uint8), zeros, zeros, instance, kinds, zeros.astype(np.uint8))


def digest(*values) -> str:
    """CRC-32 of everything that makes up scenes; numbers to 4 digits, so that no processor rounds differently."""
    parts = []

    def collect(value) -> None:
        if is_dataclass(value):
            value = tuple(vars(value).values())
        if isinstance(value, dict):
            value = tuple(value.items())
        if isinstance(value, (list, tuple)):
            for item in value:
                collect(item)
        elif isinstance(value, np.ndarray) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            parts.append(np.array2string(np.round(np.asarray(value, float) + 1.3e-7, 4) + 0.0, threshold=10**6))
        else:
            parts.append(str(value))

    collect(values)
    return f'{crc32(" ".join(parts).encode()):08x}'
