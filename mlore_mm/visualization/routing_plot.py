"""Heat maps of how tasks use the experts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mlore_mm.routing.statistics import LayerRouting
from mlore_mm.utils.whole_files import write_figure

_LABELLED_CELLS = 160  # above that, numbers in the cells would not be legible


def plot_layer(name: str, layer: LayerRouting, ranks: Sequence[int] | None = None) -> Figure:
    """One MoE layer: mean gate, selection, load, and what tasks share.

    Args:
        name: Title.
        layer: The numbers.
        ranks: Rank of each expert for the axis; their indices otherwise.
    """
    tasks, experts = layer.mean_gate.shape
    figure = Figure(figsize=(max(11, 0.5 * experts + 6), 2.6 + 0.62 * tasks + 2.2), layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(f'{name}, {layer.counted}')
    axes = figure.subplots(2, 2, width_ratios=(max(experts, 6), 6), height_ratios=(1, 1))
    labels = [f'{i}\nr{ranks[i]}' for i in range(experts)] if ranks else [str(i) for i in range(experts)]
    rows = [f'{task} ({np.exp(h):.1f})' for task, h in zip(layer.tasks, layer.entropy, strict=True)]
    heat_map(axes[0, 0], layer.mean_gate, rows, labels, 'mean gate (in brackets: exp of the entropy, "experts used")')
    heat_map(
        axes[1, 0],
        layer.selection,
        layer.tasks,
        labels,
        f'chosen for this share of the {"tokens" if layer.per_token else "images"}',
        high=1,
    )
    heat_map(axes[0, 1], layer.similarity, layer.tasks, layer.tasks, 'experts in common, as a share', high=1)
    for ax in axes[:, 0]:
        ax.set_xlabel('expert (r: its rank)' if ranks else 'expert', fontsize=9)
    bars = axes[1, 1]
    bars.bar(range(experts), layer.load, color='tab:blue')
    bars.axhline(layer.load.mean(), color='0.4', linewidth=0.8, label='even')
    bars.set_title(f'load: share of all gates, unevenness (std/mean)² = {layer.load_variation:.3f}', fontsize=10)
    bars.set_xticks(range(experts), labels, fontsize=9 if experts <= 20 else 7)
    bars.set_xlabel('expert (r: its rank)' if ranks else 'expert', fontsize=9)
    bars.legend(fontsize=9)
    return figure


def plot_overview(layers: Mapping[str, LayerRouting]) -> Figure:
    """All layers: experts used per task, evenness of the load, and how much tasks share."""
    names, first = list(layers), next(iter(layers.values()))
    figure = Figure(figsize=(12, 1.8 + 0.5 * len(names)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, width_ratios=(2, 1, 1), sharey=True)
    used = np.stack([np.exp(layer.entropy) for layer in layers.values()])
    # One expert is the least that can be used.
    heat_map(axes[0], used, names, first.tasks, 'experts used\nexp of the entropy of the gates', low=1)
    rows = np.arange(len(names))
    for ax, values, title in (
        (axes[1], [x.load_variation for x in layers.values()], 'unevenness of the load\n(std/mean)²'),
        (axes[2], [x.mean_similarity for x in layers.values()], 'experts in common\nmean over pairs of tasks'),
    ):
        ax.barh(rows, values, color='tab:blue')
        ax.set_title(title, fontsize=10)
    return figure


def plot_ablation(name: str, changes: np.ndarray, headlines: Sequence[str], ranks: Sequence[int] | None) -> Figure:
    """Change of each headline number in percent, negative for worse, without each expert.

    Args:
        name: Title.
        changes: (T, N) percent.
        headlines: Label of each row.
        ranks: See :func:`plot_layer`.
    """
    figure = Figure(figsize=(max(8, 0.7 * changes.shape[1] + 3), 1.6 + 0.5 * len(headlines)), layout='constrained')
    FigureCanvasAgg(figure)
    labels = [f'{i}\nr{ranks[i]}' if ranks else str(i) for i in range(changes.shape[1])]
    limit = max(float(np.nanmax(np.abs(changes), initial=0)), 0.1)
    title = f'{name}: change in % without the expert (red is worse)'
    heat_map(figure.subplots(), changes, headlines, labels, title, low=-limit, high=limit, colormap='RdBu', digits=1)
    return figure


def plot_usage(name: str, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The use of a layer's experts in the course of a training, a panel per task.

    Args:
        name: Title.
        curves: Task to iterations (S) and the share of tokens or images that chose each expert (S, N).
    """
    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.4 * columns, 0.8 + 3.0 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(f'{name}: chosen for this share, by expert, over the training')
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(curves) :]:
        ax.set_axis_off()
    for ax, (task, (steps, shares)) in zip(axes, curves.items(), strict=False):
        half = (steps[-1] - steps[0]) / max(2 * (len(steps) - 1), 1) or 0.5
        extent = (steps[0] - half, steps[-1] + half, shares.shape[1] - 0.5, -0.5)
        image = ax.imshow(shares.T, vmin=0, vmax=1, aspect='auto', extent=extent, interpolation='nearest')
        ax.set_title(task, fontsize=10)
        ax.set_xlabel('iteration', fontsize=9)
        ax.set_ylabel('expert', fontsize=9)
        figure.colorbar(image, ax=ax, shrink=0.9)
    return figure


def plot_token_experts(task: str, photo: np.ndarray, maps: Mapping[str, tuple[np.ndarray, int]]) -> Figure:
    """The photo, and for each layer the same under the colours of the experts that its patches went to.

    Args:
        task: Title.
        photo: (H, W, 3), uint8 RGB.
        maps: Layer to the expert of every patch (h, w) and the number of experts.
    """
    columns = min(len(maps) + 1, 4)
    rows = -(-(len(maps) + 1) // columns)
    height = 3.4 * photo.shape[0] / photo.shape[1]
    figure = Figure(figsize=(3.4 * columns, (height + 0.9) * rows), layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(f'{task}: the expert with the largest gate')
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    axes[0].imshow(photo)
    for ax, (name, (experts, count)) in zip(axes[1:], maps.items(), strict=False):
        ax.imshow(photo)
        extent = (-0.5, photo.shape[1] - 0.5, photo.shape[0] - 0.5, -0.5)
        colors = expert_colors(count)
        ax.imshow(colors[experts], extent=extent, interpolation='nearest', alpha=0.55)
        ax.set_title(f'{name}: {len(np.unique(experts))} of {count}', fontsize=9)
        shown = np.argsort(-np.bincount(experts.ravel(), minlength=count), kind='stable')[:8]
        shares = {e: (experts == e).mean() for e in shown}
        handles = [Patch(color=colors[e], label=f'{e}: {share:.0%}') for e, share in shares.items() if share]
        ax.legend(handles=handles, fontsize=6, loc='upper center', bbox_to_anchor=(0.5, -0.02), ncols=4)
    return figure


def expert_colors(count: int) -> np.ndarray:
    """A colour for each expert, (count, 3) in 0..1; neighbours in number are far apart in hue."""
    order = (np.arange(count) * 0.618034) % 1
    value = np.where(np.arange(count) % 2, 0.75, 1.0)
    return hsv_to_rgb(np.stack([order, np.full(count, 0.85), value], axis=1))


def plot_matrix(values: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """A symmetric matrix of numbers in -1..1, red where negative."""
    figure = Figure(figsize=(2.2 + 0.8 * len(names), 1.4 + 0.6 * len(names)), layout='constrained')
    FigureCanvasAgg(figure)
    heat_map(figure.subplots(), values, names, names, title, low=-1, high=1, colormap='RdBu')
    return figure


def heat_map(
    ax: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    low: float = 0.0,
    high: float | None = None,
    colormap: str = 'viridis',
    digits: int = 2,
) -> None:
    """Draw ``values`` (rows, columns) with their numbers, where these are legible, and a colour bar."""
    image = ax.imshow(values, vmin=low, vmax=high, cmap=colormap, aspect='auto')
    ax.set_title(title, fontsize=10)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(range(len(columns)), columns, fontsize=9)
    ax.figure.colorbar(image, ax=ax, shrink=0.9)
    if values.size > _LABELLED_CELLS:
        return
    size = 9 if values.size <= 60 else 7
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = image.cmap(image.norm(value))
        ink = 'black' if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else 'white'
        ax.text(j, i, f'{round(value, digits) + 0.0:.{digits}f}', ha='center', va='center', fontsize=size, color=ink)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure, making its folder."""
    path = Path(path)
    write_figure(path, figure, dpi=110)
    return path


def figure_to_image(figure: Figure) -> np.ndarray:
    """A figure as (H, W, 3), uint8 RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
