"""Curves of one or several training runs, from what mmengine's visualizer wrote."""

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlore_mm.apis.training.dev_run import FOLDER
from mlore_mm.registry import METRICS

_COUNTERS = ('iter', 'step', 'epoch')
_COLUMNS = 4


@dataclass
class Run:
    """The scalars of one training.

    Args:
        name: For the legend.
        scalars: Key to (iterations, values), both rising in the iterations.
    """

    name: str
    scalars: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def last(self, key: str) -> float:
        return float(self.scalars[key][1][-1])


def read_run(path: str | Path, name: str | None = None) -> Run:
    """Read a run.

    A work folder may hold several starts of one training, each in a folder named by its time. They are joined: what the
    earlier ones have from the first iteration of a later one on does not count, since that one resumed before it, or
    began anew. Files of ``--fast-dev-run`` are left out.

    Args:
        path: A work folder, or a single ``scalars.json``.
        name: Name of the run, by default that of the folder.

    Raises:
        ValueError: There are no scalars, or a line is not readable.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob('**/scalars.json'))
    files = [file for file in files if path.is_file() or FOLDER not in file.relative_to(path).parts]
    if not files:
        raise ValueError(f'There is no scalars.json in {path}. Training writes it to <work folder>/<time>/vis_data.')
    points: dict[str, dict[int, float]] = {}
    for file in sorted(files, key=lambda file: file.stat().st_mtime_ns):
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise ValueError(f'{file} cannot be read: {error.strerror}.') from error
        own: dict[str, dict[int, float]] = {}
        for number, line in enumerate(lines, start=1):
            if line.strip():
                _add_line(own, line, f'{file}, line {number}')
        _go_on(points, own)
    run = Run(name or (path.resolve().name if path.is_dir() else str(path)))
    for key, values in points.items():
        if not values:
            continue
        steps = sorted(values)
        run.scalars[key] = (np.array(steps), np.array([values[step] for step in steps], dtype=float))
    return run


def _go_on(points: dict[str, dict[int, float]], own: dict[str, dict[int, float]]) -> None:
    """Put what a later start has in the place of what the earlier ones have from its first iteration on."""
    first = min((min(values) for values in own.values()), default=math.inf)
    for key, values in points.items():
        points[key] = {step: value for step, value in values.items() if step < first}
    for key, values in own.items():
        points.setdefault(key, {}).update(values)


def _add_line(points: dict, line: bytes, where: str) -> None:
    entry = _parse(line, where)
    step = entry.get('step', entry.get('iter'))
    if step is None:
        return
    if not _is_number(step) or not math.isfinite(step) or step != int(step):
        raise ValueError(f'{where} has the step {str(step)[:40]}, where a whole number was expected.')
    for key, value in entry.items():
        if key not in _COUNTERS and _is_number(value):
            points.setdefault(_printable(key), {})[int(step)] = float(value)


def _parse(line: bytes, where: str) -> dict:
    try:
        entry = json.loads(line.decode('utf-8'))
    except (ValueError, RecursionError) as error:
        reason = 'brackets too deep' if isinstance(error, RecursionError) else str(error)[:200]
        raise ValueError(f'{where} is not a line of scalars: {reason}. Was the file cut off?') from error
    if not isinstance(entry, dict):
        raise ValueError(f'{where} is not a line of scalars, but a {type(entry).__name__}. Was the file cut off?')
    too_large = [key for key, value in entry.items() if isinstance(value, int) and abs(value) > sys.float_info.max]
    if too_large:
        raise ValueError(f'{where} has a number of more than 300 digits as {_printable(too_large[0])}.')
    return entry


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _printable(key: str) -> str:
    return key.encode('utf-8', 'replace').decode('utf-8')


# ---- which curves ----------------------------------------------------------------------------------------------
def select_keys(runs: Sequence[Run], patterns: Sequence[str] = ()) -> list[str]:
    """The keys to draw, in the order total loss, losses, learning rate, headline numbers.

    Args:
        runs: All runs; a key of any of them counts.
        patterns: Regular expressions; a key is taken where one matches. By default the losses, the learning rate, and
            what the kinds of task name as their headline.

    Raises:
        ValueError: A pattern is no regular expression, or nothing matches; naming the keys that there are.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.scalars))
    if patterns:
        try:
            chosen = [key for key in keys if any(re.search(pattern, key) for pattern in patterns)]
        except re.error as error:
            raise ValueError(f'Not a regular expression among {list(patterns)}: {error}.') from error
    else:
        chosen = [key for key in keys if _group(key) < 3 or (_group(key) == 3 and _is_headline(key))]
    if not chosen:
        raise ValueError(f'No key matches; there are {", ".join(keys)}.')
    return sorted(chosen, key=_group)  # stable: otherwise as logged


def _group(key: str) -> int:
    if '/' in key or key == 'delta_m':
        return 3
    if key == 'loss':
        return 0
    if key.startswith('loss'):
        return 1
    return 2 if key == 'lr' else 4


def _is_headline(key: str) -> bool:
    """Whether a metric is what some task is quoted by."""
    METRICS.import_from_location()  # by itself only when the first metric is asked for by name
    headlines = {getattr(METRICS.get(name), 'headline', '') for name in METRICS.module_dict}
    return key == 'delta_m' or key.rsplit('/', 1)[-1] in headlines


# ---- drawing ---------------------------------------------------------------------------------------------------
def plot_runs(runs: Sequence[Run], keys: Sequence[str], smooth: float = 0.0, log_losses: bool = False) -> Figure:
    """A small plot per key, all runs in each.

    Args:
        runs: Runs, a colour each.
        keys: What to draw.
        smooth: 0 to below 1, weight of what came before in an exponential mean of the losses; the raw curve stays
            visible as a faint line.
        log_losses: Losses on a logarithmic axis.
    """
    if not 0 <= smooth < 1:
        raise ValueError(f'The smoothing is from 0 to below 1, but got {smooth}.')
    columns = min(_COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows + 0.4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, key in zip(axes, keys, strict=False):
        is_loss = key.startswith('loss')
        for index, run in enumerate(runs):
            if key not in run.scalars:
                continue
            steps, values = run.scalars[key]
            colour = f'C{index % 10}'
            if smooth and is_loss:
                ax.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
                values = exponential_mean(values, smooth)
            ax.plot(steps, values, color=colour, label=run.name, marker='o' if len(steps) < 3 else None, linewidth=1.2)
        ax.set_title(key, fontsize=10)
        ax.grid(alpha=0.3)
        ax.tick_params(labelsize=8)
        if log_losses and is_loss:
            ax.set_yscale('log')
    for ax in axes[len(keys) :]:
        ax.axis('off')
    handles = {h.get_label(): h for ax in axes for h in ax.get_lines() if not h.get_label().startswith('_')}
    if len(runs) > 1:
        # Above: below it would lie on the label of the axis, for which the layout leaves it no room.
        figure.legend(handles.values(), handles.keys(), loc='outside upper center', ncols=min(len(runs), 4), fontsize=9)
    figure.supxlabel('iteration', fontsize=9)
    return figure


def exponential_mean(values: np.ndarray, weight: float) -> np.ndarray:
    """Mean of what came so far with weights falling by ``weight`` a step, without the usual bias to the start."""
    out, total, norm = np.empty(len(values)), 0.0, 0.0
    for i, value in enumerate(values):
        total, norm = weight * total + value, weight * norm + 1
        out[i] = total / norm
    return out


def table(runs: Sequence[Run], keys: Sequence[str]) -> str:
    """Last value of each key, a column per run."""
    width = max(len(key) for key in keys) + 2
    lines = [' ' * width + ''.join(f'{run.name[:18]:>20}' for run in runs)]
    for key in keys:
        cells = (f'{run.last(key):.5g}' if key in run.scalars else '-' for run in runs)
        lines.append(f'{key:<{width}}' + ''.join(f'{cell:>20}' for cell in cells))
    return '\n'.join(lines)
