"""Results of one photo as a piece of a web page: all maps, each over the photo, with the numbers under the pointer.

The page itself needs ``demo/viewer.css`` and ``demo/viewer.js``; everything else is in the piece.
"""

import base64
import html
import io
import json
from collections.abc import Iterable, Sequence
from functools import singledispatch

import matplotlib
import numpy as np
from PIL import Image

from mlore_mm.apis.inference.result_writer import ImageResult
from mlore_mm.tasks import Task, TaskResult
from mlore_mm.tasks.results import ClassMapResult, DepthResult, NormalsResult, NumbersResult, ProbabilityResult

MAX_SIDE = 1024
_LISTED_CLASSES = 12
_STEPS = 65535


def viewer_html(result: ImageResult, max_side: int = MAX_SIDE) -> str:
    """A ``<section class="mm-view">`` with a figure per task; larger photos are reduced to ``max_side`` pixels."""
    height, width = result.image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    photo = Image.fromarray(result.image).resize(size, Image.Resampling.LANCZOS)
    figures = ''.join(_figure(result, task, size) for task in result.tasks.values())
    broken = ', '.join(f'{name} at {share:.0%} of the pixels' for name, share in result.not_finite().items())
    warning = message_html(f'The prediction is not finite: {broken}.') if broken else ''
    return (
        f'{warning}<section class="mm-view" style="--photo: url({_url(photo, "JPEG")}); --ratio: {width} / {height}">'
        '<label class="mm-slider"><span>map</span><input type="range" min="0" max="100" value="0" '
        'aria-label="how much of the photo is seen in place of the maps"><span>photo</span></label>'
        f'<div class="mm-maps">{figures}</div></section>'
    )


def message_html(text: str) -> str:
    """A message in place of the maps."""
    return f'<p class="mm-message" role="alert">{html.escape(text)}</p>'


def _figure(result: ImageResult, task: Task, size: tuple[int, int]) -> str:
    typed = result[task.name]
    picture = Image.fromarray(result.picture(task.name)).resize(size, Image.Resampling.NEAREST)
    values, reading = hover_values(typed)
    attributes = ''
    if values is not None:
        values = Image.fromarray(values).resize(size, Image.Resampling.NEAREST)
        attributes = f' data-reading="{html.escape(json.dumps(reading))}" data-values="{_url(values)}"'
    name = html.escape(task.name)
    return (
        f'<figure data-task="{name}"{attributes}><div class="mm-frame">'
        f'<img src="{_url(picture)}" alt="{name} of the photo" draggable="false"><i></i></div>'
        f'<figcaption><b>{name}</b> <output></output>{_legend(typed, task, result)}</figcaption></figure>'
    )


@singledispatch
def hover_values(result: TaskResult) -> tuple[np.ndarray | None, dict]:
    """What the page shows under the pointer: numbers as a picture (H, W, 3) uint8, and how to read it.

    Kind 'class' has the id, and 'number' a share of the way from ``low`` to ``high``, both as 256 * red + green; kind
    'vector' has x, y, z in -1..1 as (byte - 128) / 127. None where there is nothing to show.
    """
    return None, {}


@hover_values.register
def _(result: ClassMapResult):
    return _two_bytes(result.ids), dict(kind='class', names=list(result.names))


@hover_values.register
def _(result: DepthResult):
    return _scaled(result.metres, 'm')


@hover_values.register
def _(result: ProbabilityResult):
    return _scaled(100 * result.probability, '%')


@hover_values.register
def _(result: NumbersResult):
    return _scaled(result.numbers, '') if result.numbers.ndim == 2 else (None, {})


@hover_values.register
def _(result: NormalsResult):
    return np.rint(128 + 127 * np.nan_to_num(result.unit)).astype(np.uint8), dict(kind='vector')


def _scaled(values: np.ndarray, unit: str) -> tuple[np.ndarray, dict]:
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    share = np.where(finite, (np.where(finite, values, low) - low) / max(high - low, 1e-12), 0)
    return _two_bytes(np.rint(_STEPS * share)), dict(kind='number', low=low, high=high, steps=_STEPS, unit=unit)


def _two_bytes(numbers: np.ndarray) -> np.ndarray:
    numbers = numbers.astype(np.uint16)
    return np.stack([numbers >> 8, numbers & 255, np.zeros_like(numbers)], axis=-1).astype(np.uint8)


def _legend(result: TaskResult, task: Task, image: ImageResult) -> str:
    """The classes by size, the bar of colours with the numbers at its ends, or what else colours mean."""
    if isinstance(result, ClassMapResult):
        colours = dict(zip(result.names, result.palette, strict=False))
        shares = list(result.shares().items())[:_LISTED_CLASSES]
        return _chips((f'{name} {x:.0%}' if x >= 0.005 else f'{name} <1%', colours[name]) for name, x in shares)
    values, ramp = image.array(task.name), np.linspace(0, 1, 9)
    if isinstance(result, ProbabilityResult):
        return _bar(task.draw(ramp[None, None])[0], '0 %', '100 %')
    limits = task.value_range(values)
    if not task.colormap or limits is None:
        return _chips(task.legend(values))
    stops = (matplotlib.colormaps[task.colormap](ramp)[:, :3] * 255).astype(int)
    return _bar(stops, *(f'{limit:.3g} {task.values_unit}' for limit in limits))


def _chips(entries: Iterable[tuple[str, Sequence[int]]]) -> str:
    items = [f'<li><i style="background: {_css(colour)}"></i>{html.escape(name)}</li>' for name, colour in entries]
    return f'<ul>{"".join(items)}</ul>' if items else ''


def _bar(stops: np.ndarray, low: str, high: str) -> str:
    gradient = f'linear-gradient(to right, {",".join(map(_css, stops))})'
    low, high = html.escape(low), html.escape(high)
    return f'<div class="mm-bar">{low}<i style="background: {gradient}"></i>{high}</div>'


def _css(colour: Sequence[int]) -> str:
    return f'rgb({",".join(str(int(x)) for x in colour)})'


def _url(image: Image.Image, kind: str = 'PNG') -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f'data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}'
