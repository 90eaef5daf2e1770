"""Puts pictures into one panel: columns of captioned cells with a legend below. Knows nothing about tasks."""

from dataclasses import dataclass, field
from functools import cache
from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

MIN_SIDE, MAX_SIDE = 256, 512  # of a cell, in pixels
INK, PAPER, BLANK = (32, 32, 32), (255, 255, 255), (205, 205, 205)
STRIPES = (216, 216, 216), (120, 120, 120)  # of pixels without a label


@dataclass
class Cell:
    """One picture (H, W, 3) uint8 RGB with a caption above it and ``note`` on it; ``None`` leaves a grey area."""

    caption: str
    picture: np.ndarray | None
    note: str = ''


@dataclass
class Chips:
    """A legend of coloured squares: (name, RGB) of each class, None in place of the colour for :func:`stripes`."""

    entries: list[tuple[str, tuple[int, int, int] | None]]


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


def compose(columns: list[Column], size: tuple[int, int]) -> np.ndarray:
    """Columns side by side to one picture (H, W, 3), uint8 RGB.

    Args:
        columns: At least one.
        size: (height, width) of the pictures before they are enlarged or reduced to cells.
    """
    height, width = cell_size(*size)
    layout = _Layout(width)
    rows = max(len(column.cells) for column in columns)
    row_height = layout.line + height + layout.margin
    legend_height = max(sum(layout.height_of(x) for x in column.legends) for column in columns)
    top, step = layout.margin, layout.width + layout.margin
    canvas_size = (layout.margin + len(columns) * step, top + rows * row_height + legend_height)
    canvas = Image.new('RGB', canvas_size, PAPER)
    for i, column in enumerate(columns):
        x, y = layout.margin + i * step, top + rows * row_height
        for j, cell in enumerate(column.cells):
            layout.draw_cell(canvas, cell, x, top + j * row_height, (width, height))
        for legend in column.legends:
            layout.draw_legend(canvas, legend, x, y)
            y += layout.height_of(legend)
    return np.asarray(canvas)


def cell_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which a picture is shown: small ones enlarged by a whole number, large ones reduced."""
    if max(height, width) > MAX_SIDE:
        scale = MAX_SIDE / max(height, width)
    else:
        scale = max(1, min(ceil(MIN_SIDE / width), MAX_SIDE // max(height, width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def stripes(height: int, width: int) -> np.ndarray:
    """Diagonal stripes of two greys, (height, width, 3) uint8: what no palette and no colormap can look like."""
    period = max(4, 2 * round(max(height, width) / 64))
    y, x = np.ogrid[:height, :width]
    return np.where(((x + y) % period < period // 2)[..., None], STRIPES[0], STRIPES[1]).astype(np.uint8)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The sans-serif font that comes with matplotlib, so that panels look the same everywhere."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')), size)


class _Layout:
    """Sizes of text that grow with the cells, so that it can be read when a wide panel is shrunk to a screen."""

    def __init__(self, cell_width: int) -> None:
        self.width = max(cell_width, MIN_SIDE // 2)  # a very narrow picture still needs room for its caption
        self.font = font(max(13, round(0.042 * self.width)))
        self.line = round(1.4 * self.font.size)
        self.chip = self.font.size
        self.margin = max(8, self.width // 50)

    def height_of(self, legend: Chips | Bar) -> int:
        lines = len(self._chip_lines(legend)) if isinstance(legend, Chips) else 2
        return lines * self.line + self.margin // 2

    def draw_cell(self, canvas: Image.Image, cell: Cell, x: int, y: int, size: tuple[int, int]) -> None:
        draw = ImageDraw.Draw(canvas)
        draw.text((x, y), self._shorten(cell.caption, self.width), INK, self.font)
        y += self.line
        if cell.picture is None:
            draw.rectangle((x, y, x + size[0] - 1, y + size[1] - 1), BLANK)
            draw.text((x + size[0] // 2, y + size[1] // 2), cell.note, INK, self.font, anchor='mm')
            return
        picture = Image.fromarray(np.ascontiguousarray(cell.picture))
        method = Image.Resampling.BOX if picture.width > size[0] else Image.Resampling.NEAREST
        canvas.paste(picture.resize(size, method), (x, y))
        if cell.note:
            middle = (x + size[0] // 2, y + size[1] // 2)
            draw.rectangle(draw.textbbox(middle, f' {cell.note} ', self.font, anchor='mm'), PAPER)
            draw.text(middle, cell.note, INK, self.font, anchor='mm')

    def draw_legend(self, canvas: Image.Image, legend: Chips | Bar, x: int, y: int) -> None:
        if isinstance(legend, Chips):
            self._draw_chips(canvas, legend, x, y)
        else:
            self._draw_bar(canvas, legend, x, y)

    def _draw_chips(self, canvas: Image.Image, chips: Chips, x: int, y: int) -> None:
        draw = ImageDraw.Draw(canvas)
        for i, line in enumerate(self._chip_lines(chips)):
            for offset, name, colour in line:
                left, top = x + offset, y + i * self.line + self.chip // 6
                box = (left, top, left + self.chip, top + self.chip)
                draw.rectangle(box, BLANK if colour is None else tuple(colour), INK)
                if colour is None:
                    inside = Image.fromarray(stripes(self.chip - 1, self.chip - 1))
                    canvas.paste(inside, (left + 1, top + 1))
                draw.text((left + self.line, top), name, INK, self.font)

    def _draw_bar(self, canvas: Image.Image, bar: Bar, x: int, y: int) -> None:
        draw = ImageDraw.Draw(canvas)
        ramp = matplotlib.colormaps[bar.colormap](np.linspace(0, 1, self.width))[None, :, :3]
        ramp = np.repeat((ramp * 255 + 0.5).astype(np.uint8), self.line * 2 // 3, axis=0)
        canvas.paste(Image.fromarray(ramp), (x, y))
        y += self.line * 3 // 4
        draw.text((x, y), f'{bar.title} {_number(bar.low)}'.strip(), INK, self.font)
        draw.text((x + self.width // 2, y), _number((bar.low + bar.high) / 2), INK, self.font, anchor='ma')
        draw.text((x + self.width, y), f'{_number(bar.high)} {bar.unit}'.strip(), INK, self.font, anchor='ra')

    def _chip_lines(self, chips: Chips) -> list[list[tuple[int, str, tuple]]]:
        """The entries in lines that fit the column, each entry with its x position."""
        lines, x = [[]], 0
        for name, colour in chips.entries:
            name = self._shorten(name, self.width - self.line)
            width = self.line + int(self.font.getlength(name))
            if x and x + width > self.width:
                lines.append([])
                x = 0
            lines[-1].append((x, name, colour))
            x += width + self.margin
        return lines

    def _shorten(self, text: str, width: int) -> str:
        while len(text) > 1 and self.font.getlength(text) > width:
            text = text[:-2] + '…'
        return text


def _number(value: float) -> str:
    return f'{value:.3g}'
