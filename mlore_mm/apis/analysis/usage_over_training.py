"""How the use of experts changed in the course of a training, from what :class:`RoutingHook` wrote."""

from pathlib import Path

import numpy as np

from mlore_mm.apis.analysis.analyze_logs import read_run
from mlore_mm.visualization.routing_plot import plot_usage, save_figure

_START = 'usage/'  # tags are usage/<layer>/<task>/<expert>
Curves = dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]


def read_usage(run: str | Path) -> Curves:
    """By layer and task the iterations (S) and for which share of the tokens (images) each expert was chosen (S, N).

    Args:
        run: A work folder or a ``scalars.json``; a resumed training is one curve.

    Raises:
        ValueError: Nothing about the use of experts was written.
    """
    found: dict[str, dict[str, dict[int, tuple]]] = {}
    for key, curve in read_run(run).scalars.items():
        if key.startswith(_START):
            layer, task, expert = key.removeprefix(_START).rsplit('/', 2)
            found.setdefault(layer, {}).setdefault(task, {})[int(expert)] = curve
    if not found:
        raise ValueError(
            f'{run} says nothing about the use of experts over the training. Train with custom_hooks=[dict(type='
            "'RoutingHook', usage=True)]."
        )
    return {
        layer: {task: _joined([experts[i] for i in sorted(experts)]) for task, experts in tasks.items()}
        for layer, tasks in found.items()
    }


def _joined(curves: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """Curves of single experts to one table; all were written at the same iterations."""
    return curves[0][0], np.stack([values for _, values in curves], axis=1)


def write_usage(run: str | Path, out_dir: str | Path) -> list[Path]:
    """``<layer>_usage.png`` for each layer; the files written."""
    return [
        save_figure(plot_usage(layer, curves), Path(out_dir) / f'{layer.replace("/", "_")}_usage.png')
        for layer, curves in read_usage(run).items()
    ]
