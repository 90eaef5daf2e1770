"""Puts pictures into one panel: columns of captioned cells with a legend below. Knows nothing about tasks."""

from dataclasses import dataclass, field
from functools import cache
from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

MIN_SIDE, MAX_SIDE = 256, 512  # of a cell, in pixels: small enough for a screen, large enough for captions
MARGIN, FONT_SIZE, LINE = 8, 13, 18
INK, PAPER, BLANK = (32, 32, 32), (255, 255, 255), (225, 225, 225)


@dataclass
class Cell:
    """One picture (H, W, 3) uint8 RGB with a caption above it; ``None`` leaves a grey area with ``note`` in it."""

    caption: str
    picture: np.ndarray | None
    note: str = ''


@dataclass
class Chips:
    """A legend of coloured squares: (name, RGB) of each class."""

    entries: list[tuple[str, tuple[int, int, int]]]


@dataclass
class Bar:
    """A legend for numbers: the colormap from ``low`` to ``high``, in ``unit``."""

    colormap: str
    low: float
    high: float
    unit: str
    title: str = ''


@dataclass
class Column:
    """Cells from top to bottom, then legends."""

    cells: list[Cell]
    legends: list[Chips | Bar] = field(default_factory=list)


@cache
def font() -> ImageFont.FreeTypeFont:
    """The sans-serif font that comes with matplotlib, so that panels look the same everywhere."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')), FONT_SIZE)


def cell_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which a picture is shown: small ones enlarged by a whole number, large ones reduced."""
    if max(height, width) > MAX_SIDE:
        scale = MAX_SIDE / max(height, width)
    else:
        scale = max(1, min(ceil(MIN_SIDE / width), MAX_SIDE // max(height, width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def compose(columns: list[Column], size: tuple[int, int]) -> np.ndarray:
    """Columns side by side to one picture (H, W, 3), uint8 RGB.

    Args:
        columns: At least one.
        size: (height, width) of the pictures before they are enlarged or reduced to cells.
    """
    height, width = cell_size(*size)
    column_width = max(width, MIN_SIDE // 2)  # a very narrow picture still needs room for its caption
    rows = max(len(column.cells) for column in columns)
    row_height = LINE + height + MARGIN
    legend_height = max(sum(_legend_height(x, column_width) for x in column.legends) for column in columns)
    canvas = Image.new(
        'RGB',
        (MARGIN + len(columns) * (column_width + MARGIN), MARGIN + rows * row_height + legend_height),
        PAPER,
    )
    for i, column in enumerate(columns):
        x = MARGIN + i * (column_width + MARGIN)
        for j, cell in enumerate(column.cells):
            _paste_cell(canvas, cell, x, MARGIN + j * row_height, (width, height))
        y = MARGIN + rows * row_height
        for legend in column.legends:
            _draw_legend(canvas, legend, x, y, column_width)
            y += _legend_height(legend, column_width)
    return np.asarray(canvas)


def _paste_cell(canvas: Image.Image, cell: Cell, x: int, y: int, size: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.text((x, y), _shorten(cell.caption, size[0]), INK, font())
    if cell.picture is None:
        draw.rectangle((x, y + LINE, x + size[0] - 1, y + LINE + size[1] - 1), BLANK)
        draw.text((x + size[0] // 2, y + LINE + size[1] // 2), cell.note, INK, font(), anchor='mm')
        return
    picture = Image.fromarray(np.ascontiguousarray(cell.picture))
    reduced = picture.width > size[0]
    picture = picture.resize(size, Image.Resampling.BOX if reduced else Image.Resampling.NEAREST)
    canvas.paste(picture, (x, y + LINE))


def _shorten(text: str, width: int) -> str:
    while len(text) > 1 and font().getlength(text) > width:
        text = text[:-2] + '…'
    return text


# ---- legends ---------------------------------------------------------------------------------------------------
def _chip_lines(chips: Chips, width: int) -> list[list[tuple[int, str, tuple]]]:
    """The entries in lines no longer than ``width``, each entry with its x position."""
    lines, x = [[]], 0
    for name, colour in chips.entries:
        name = _shorten(name, width - LINE)
        needed = LINE + int(font().getlength(name)) + MARGIN
        if x and x + needed - MARGIN > width:
            lines.append([])
            x = 0
        lines[-1].append((x, name, colour))
        x += needed
    return lines


def _legend_height(legend: Chips | Bar, width: int) -> int:
    if isinstance(legend, Chips):
        return len(_chip_lines(legend, width)) * LINE + MARGIN // 2
    return 2 * LINE + MARGIN // 2


def _draw_legend(canvas: Image.Image, legend: Chips | Bar, x: int, y: int, width: int) -> None:
    draw = ImageDraw.Draw(canvas)
    if isinstance(legend, Chips):
        for i, line in enumerate(_chip_lines(legend, width)):
            for offset, name, colour in line:
                left, top = x + offset, y + i * LINE + 2
                draw.rectangle((left, top, left + 12, top + 12), tuple(colour), INK)
                draw.text((left + LINE, top - 1), name, INK, font())
        return
    ramp = matplotlib.colormaps[legend.colormap](np.linspace(0, 1, width))[None, :, :3]
    canvas.paste(Image.fromarray((np.repeat(ramp, LINE - 6, axis=0) * 255 + 0.5).astype(np.uint8)), (x, y))
    middle = (legend.low + legend.high) / 2
    draw.text((x, y + LINE - 4), f'{legend.title} {_number(legend.low)}'.strip(), INK, font())
    draw.text((x + width // 2, y + LINE - 4), _number(middle), INK, font(), anchor='ma')
    draw.text((x + width, y + LINE - 4), f'{_number(legend.high)} {legend.unit}'.strip(), INK, font(), anchor='ra')


def _number(value: float) -> str:
    return f'{value:.3g}'
