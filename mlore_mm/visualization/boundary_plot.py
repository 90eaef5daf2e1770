"""Precision-recall curve of predicted boundaries."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlore_mm.utils.whole_files import write_figure

ISO_F = np.arange(1, 10) / 10


def plot_precision_recall(
    path: str | Path, recall: np.ndarray, precision: np.ndarray, best: tuple[float, float], label: str
) -> None:
    """Save the curve with lines of equal F.

    Args:
        path: A PNG, PDF or SVG.
        recall, precision: (T,) in 0..1, in the order of the thresholds.
        best: Recall and precision of the threshold that odsF is taken from.
        label: For the legend.
    """
    figure = Figure(figsize=(5, 5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlim=(0, 1), ylim=(0, 1), xlabel='recall', ylabel='precision', aspect='equal')
    for f in ISO_F:
        line = np.geomspace(f / (2 - f), 1, 200)  # dense where the line turns steeply
        axes.plot(line, f * line / (2 * line - f), color='0.8', linewidth=0.8)
        axes.annotate(f' F={f:.1f}', (1, f / (2 - f)), color='0.4', fontsize=8, va='center', annotation_clip=False)
    axes.plot(recall, precision, color='tab:blue', label=label)
    axes.plot(*best, 'o', color='tab:blue', label='threshold of odsF')
    axes.legend(loc='lower left')
    write_figure(path, figure, dpi=150)
