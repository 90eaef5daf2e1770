"""A picture of which classes are taken for which."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_NUMBERED = 45  # classes; above that, numbers in the cells would not be legible
_LEAST = 0.5  # percent; cells below stay without a number
_NO_PIXEL = '0.85'  # grey of the rows of classes that are not labelled


def plot_confusion(title: str, counts: np.ndarray, names: Sequence[str]) -> Figure:
    """A row per true class: to which classes its pixels go, in percent of the row.

    Args:
        title: Name of the task.
        counts: (C, C) pixels, true class by predicted class.
        names: Of the C classes, for both axes.
    """
    percent = percent_per_row(counts)
    side = 2.8 + 0.32 * len(names) if len(names) <= _NUMBERED else 17
    figure = Figure(figsize=(side + 1.2, side), layout='constrained')
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    colormap = matplotlib.colormaps['Blues'].with_extremes(bad=_NO_PIXEL)
    image = ax.imshow(np.ma.masked_invalid(percent), vmin=0, vmax=100, cmap=colormap)
    missing = int(np.isnan(percent).all(axis=1).sum())
    note = f'\ngrey: no labelled pixel ({missing} classes)' if missing else ''
    ax.set_title(f'{title}: percent of the pixels of each true class{note}', fontsize=10)
    size = max(4, min(9, 400 // len(names)))
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    ax.set_yticks(range(len(names)), names, fontsize=size)
    ax.set_xlabel('predicted class')
    ax.set_ylabel('true class')
    figure.colorbar(image, ax=ax, shrink=0.8, label='%')
    if len(names) <= _NUMBERED:
        for (i, j), value in np.ndenumerate(percent):
            if value >= _LEAST:
                ink = 'white' if value > 55 else 'black'
                ax.text(j, i, f'{value:.0f}', ha='center', va='center', fontsize=min(size, 7), color=ink)
    return figure


def percent_per_row(counts: np.ndarray) -> np.ndarray:
    """(C, C) counts to percent of each row's sum; NaN in a row of zeros."""
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, 100 * counts / np.maximum(total, 1), np.nan)
