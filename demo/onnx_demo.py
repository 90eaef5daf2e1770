"""Run an exported model on photos with nothing but onnxruntime, numpy and Pillow.

Pictures and arrays have the size of the photo. They are called <task>; those of further photos <photo>_<task>.

Example:
    python demo/onnx_demo.py model.onnx photo.jpg out
    python demo/onnx_demo.py model.onnx one.jpg two.jpg out
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps

BAR = 12  # height of the bar in pixels


def load(path: Path):
    """The session and what the file says about itself, which is checked before it is used."""
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    about = json.loads(session.get_modelmeta().custom_metadata_map['mlore_mm'])
    for task in about['tasks']:
        if not isinstance(task['name'], str) or not re.fullmatch(r'[\w-]{1,100}', task['name']):
            raise ValueError(f'{path} names a task {task["name"]!r}, expected letters, digits, _ and -.')
    return session, about


def read(path: Path) -> Image.Image:
    """A photo as every part of mlore_mm reads it: upright, transparency laid on white."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        rgba = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', rgba.size, 'white'), rgba)
    return image.convert('RGB')


def run(session, about: dict, photo: Image.Image) -> list[np.ndarray]:
    """The maps (H, W, C) of a photo, at its size."""
    height, width = about['input']['size']
    image = photo.copy()
    image.thumbnail((width, height), Image.Resampling.BOX)  # reduced to fit, then centred
    left, top = (width - image.width) // 2, (height - image.height) // 2
    box = np.s_[top : top + image.height, left : left + image.width]
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = about['input']['pad_value']
    canvas[box] = np.asarray(image)
    maps = session.run(None, {session.get_inputs()[0].name: canvas.transpose(2, 0, 1)[None]})
    return [enlarge(values[0].transpose(1, 2, 0)[box], photo.size) for values in maps]


def enlarge(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, C) to (H, W, C): numbers bilinearly, ids from the nearest pixel."""
    smooth = Image.Resampling.BILINEAR if values.dtype.kind == 'f' else Image.Resampling.NEAREST
    kind = np.float32 if values.dtype.kind == 'f' else np.int32
    channels = [Image.fromarray(values[..., i].astype(kind)).resize(size, smooth) for i in range(values.shape[-1])]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def draw(task: dict, values: np.ndarray) -> Image.Image:
    """Class colours, or grey with a bar: near is bright for metres, much is bright for other numbers."""
    if task['kind'] == 'class_map':  # scores per class, or ids where the model was exported with --decoded
        ids = values.argmax(-1) if values.shape[-1] > 1 else values[..., 0].astype(int)
        palette = np.array([*task['palette'], [0, 0, 0]], np.uint8)  # black: -1, not finite
        return Image.fromarray(palette[np.clip(ids, -1, len(palette) - 1)])
    if task['kind'] == 'unit_vectors':
        length = np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-6)
        return Image.fromarray(((np.nan_to_num(values / length) + 1) * 127.5).astype(np.uint8))
    if task['kind'] == 'probability':
        return with_bar(np.nan_to_num(values[..., -1]), 0, 1, '', False)
    numbers = np.nan_to_num(values[..., 0])
    return with_bar(numbers, float(numbers.min()), float(numbers.max()), task['unit'], task['kind'] == 'metres')


def with_bar(numbers: np.ndarray, low: float, high: float, unit: str, near_is_bright: bool) -> Image.Image:
    """Numbers in grey, and over their lower edge a bar from ``low`` to ``high``."""
    share = (numbers - low) / max(high - low, 1e-6)
    height, width = numbers.shape
    if height >= 4 * BAR:
        share = share.copy()
        share[-BAR:] = np.linspace(0, 1, width)
    grey = (255 * np.clip(1 - share if near_is_bright else share, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(grey)
    if height >= 4 * BAR:
        pen, place = ImageDraw.Draw(picture), height - BAR + 1
        for x, number, anchor, left in ((2, low, 'la', True), (width - 2, high, 'ra', False)):
            ink = 0 if left == near_is_bright else 255
            pen.text((x, place), f'{number:.3g} {unit}'.strip(), fill=ink, anchor=anchor)
    return picture


def main(model: Path, photos: list[Path], out: Path) -> None:
    for path in (model, *photos):
        if not path.is_file():
            raise ValueError(f'There is no file {path}.')
    session, about = load(model)
    out.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        for task, values in zip(about['tasks'], run(session, about, read(photo)), strict=True):
            name = task['name'] if len(photos) == 1 else f'{photo.stem}_{task["name"]}'
            if len(photos) == 1 and belongs_to_another(out, photo):
                name = f'{photo.stem}_{name}'
            if task['kind'] not in ('class_map', 'unit_vectors', 'probability'):
                np.save(out / f'{name}.npy', values[..., 0])
            draw(task, values).save(out / f'{name}.png')
            print(out / f'{name}.png')


def belongs_to_another(out: Path, photo: Path) -> bool:
    """Whether the plain names in the folder are those of an earlier photo; else they are this one's from now on."""
    note = out / 'photo.txt'
    if note.is_file():
        return note.read_text(encoding='utf-8') != str(photo.resolve())
    note.write_text(str(photo.resolve()), encoding='utf-8')
    return False


if len(sys.argv) < 4:
    sys.exit('usage: python demo/onnx_demo.py MODEL PHOTO [PHOTO ...] OUT')
try:
    main(Path(sys.argv[1]), [Path(x) for x in sys.argv[2:-1]], Path(sys.argv[-1]))
except (ValueError, OSError, KeyError) as problem:
    sys.exit(f'error: {problem}')
