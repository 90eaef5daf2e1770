"""Two pictures of a comparison: scores with their spread, and what a gain costs."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlore_mm.apis.comparison.results import Row
from mlore_mm.apis.comparison.tables import task_title

_SHAPES = 'os^D'
_COSTS = (('gmacs', 1.0, 'GMACs of one image'), ('training_s', 1 / 60, 'minutes of training'))


def plot_scores(rows: Sequence[Row], tasks: Mapping[str, Mapping]) -> Figure:
    """A plot per task, a bar per system; what failed says so in place of its bar. Bars do not begin at zero."""
    names = _names(rows)
    figure = Figure(figsize=(3.1 * len(tasks) + 1.2, 1.4 + 0.34 * len(rows)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, max(len(tasks), 1), squeeze=False, sharey=True)[0]
    for ax, (task, said) in zip(axes, tasks.items(), strict=False):
        found = [row.scores[task].mean for row in rows if task in row.scores]
        spreads = [row.scores[task].std or 0 for row in rows if task in row.scores]
        low, high = (min(found), max(found)) if found else (0, 1)
        margin = max(0.35 * (high - low), 1.5 * max(spreads, default=0), 0.02 * abs(high), 1e-6)
        start, stop = low - margin, high + margin
        for i, row in enumerate(rows):
            score = row.scores.get(task)
            if score is None:
                ax.text(start, i, ' failed' if row.failures else ' not run', va='center', fontsize=8, color='tab:red')
                continue
            ax.barh(i, score.mean - start, left=start, color=f'C{i % 10}', height=0.7)
            if score.std is not None:
                ax.errorbar(score.mean, i, xerr=score.std, color='0.15', capsize=3, linewidth=1)
        ax.set_xlim(start, stop)
        ax.set_title(task_title(task, said), fontsize=10)
        ax.grid(axis='x', alpha=0.3)
        ax.tick_params(labelsize=8)
        ax.locator_params(axis='x', nbins=6)  # numbers of three decimals touch otherwise
    axes[0].set_yticks(range(len(rows)), names, fontsize=9)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)  # the first on top, and room for one without a bar
    return figure


def plot_costs(rows: Sequence[Row]) -> Figure:
    """delta_m with its spread over multiplications and over the time of training; a legend names the systems."""
    names = _names(rows)
    figure = Figure(figsize=(9.5, 4.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(_COSTS), sharey=True)
    for ax, (cost, factor, label) in zip(axes, _COSTS, strict=True):
        _scatter(ax, rows, names, cost, factor)
        ax.set_xlabel(label)
        ax.axhline(0, color='0.4', linewidth=0.8)
        ax.grid(alpha=0.3)
    drawn = {name: points for ax in axes for points, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    if drawn:  # beside the points, names of near systems would cover each other
        figure.legend(drawn.values(), drawn, loc='outside upper center', ncols=min(len(drawn), 5), fontsize=8)
    axes[0].set_ylabel('delta_m %, against single task')
    left_out = [name for row, name in zip(rows, names, strict=True) if row.gain is None]
    if left_out:
        figure.supxlabel(f'without delta_m: {", ".join(left_out)}', fontsize=8, color='tab:red')
    return figure


def _scatter(ax: Axes, rows: Sequence[Row], names: Sequence[str], cost: str, factor: float) -> None:
    for i, (row, name) in enumerate(zip(rows, names, strict=True)):
        if row.gain is None or row.costs.get(cost) is None:
            continue
        x = factor * row.costs[cost]
        shape = _SHAPES[i // 10 % len(_SHAPES)]  # there are ten colours
        ax.errorbar(x, row.gain.mean, yerr=row.gain.std, fmt=shape, color=f'C{i % 10}', capsize=3, label=name)
    ax.margins(0.1)


def _names(rows: Sequence[Row]) -> list[str]:
    """Systems, with encoder, budget and data where there are several."""
    several = [name for name in ('encoder', 'budget', 'data') if len({getattr(row, name) for row in rows}) > 1]
    return [', '.join([row.system, *(getattr(row, name) for name in several)]) for row in rows]
