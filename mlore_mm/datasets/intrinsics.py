"""A camera's intrinsics (fx, fy, u0, v0) in pixels, and how they follow what is done to its image.

They are kept in ``results['intrinsics']`` for the image as it is, and in ``results['ori_intrinsics']`` for the file.
Pixels are counted from 0 at the centre of the first one.
"""

import json

Intrinsics = tuple[float, float, float, float]


def read_camera(path: str) -> dict[str, float]:
    """``fx``, ``fy``, ``u0``, ``v0`` and ``baseline`` (metres) of a camera file of Cityscapes.

    Raises:
        ValueError: The file is missing, is no JSON, or lacks one of them.
    """
    try:
        with open(path, encoding='utf-8') as file:
            camera = json.load(file)
    except (OSError, ValueError) as error:
        raise ValueError(f'Cannot read the camera file {path}: {error}.') from error
    values = {}
    for group, names in (('intrinsic', ('fx', 'fy', 'u0', 'v0')), ('extrinsic', ('baseline',))):
        for name in names:
            value = camera.get(group, {}).get(name) if isinstance(camera, dict) else None
            if not isinstance(value, (int, float)) or (name in ('fx', 'fy', 'baseline') and value <= 0):
                raise ValueError(f"{path} needs a number '{name}' in '{group}', above 0 if a length, found {value!r}.")
            values[name] = float(value)
    return values


def resized(results: dict, down: float, across: float) -> None:
    """After the image was made ``down`` times as high and ``across`` times as wide."""
    if 'intrinsics' in results:
        fx, fy, u0, v0 = results['intrinsics']
        results['intrinsics'] = (fx * across, fy * down, u0 * across, v0 * down)


def shifted(results: dict, top: int, left: int) -> None:
    """After ``top`` rows and ``left`` columns were put in front, or taken away where negative."""
    if 'intrinsics' in results:
        fx, fy, u0, v0 = results['intrinsics']
        results['intrinsics'] = (fx, fy, u0 + left, v0 + top)


def mirrored(results: dict, width: int) -> None:
    """After left and right were swapped in an image of ``width`` columns."""
    if 'intrinsics' in results:
        fx, fy, u0, v0 = results['intrinsics']
        results['intrinsics'] = (fx, fy, width - 1 - u0, v0)
