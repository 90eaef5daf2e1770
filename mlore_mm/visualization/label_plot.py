"""A picture of what labels hold: bars of shares, a panel per task and list of samples."""

from collections.abc import Mapping

import matplotlib
import numpy as np

from mlore_mm.utils.whole_files import write_figure

_NAMES = 24  # bars with a name below


def draw_labels(surveys: Mapping[str, Mapping], path: str) -> None:
    """Write a PNG.

    Args:
        surveys: Name of a list of samples to what its labels hold by task (``statistics.bars()``).
        path: The file.
    """
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    rows = {name: tasks for name, tasks in surveys.items() if tasks}
    columns = max((len(tasks) for tasks in rows.values()), default=1)
    figure, axes = plt.subplots(
        max(len(rows), 1),
        columns,
        figsize=(4.2 * columns, 3.2 * max(len(rows), 1)),
        squeeze=False,
        layout='constrained',
    )
    for row, (name, tasks) in zip(axes, rows.items(), strict=False):
        for axis in row[len(tasks) :]:
            axis.axis('off')
        for axis, (task, survey) in zip(row, tasks.items(), strict=False):
            names, shares = survey.statistics.bars()
            axis.bar(np.arange(len(shares)), shares, color='#4c72b0')
            axis.set_title(f'{name}: {task}')
            axis.set_ylabel('% of the labelled pixels')
            step = max(1, -(-len(names) // _NAMES))
            axis.set_xticks(np.arange(0, len(names), step), list(names)[::step], rotation=90, fontsize=7)
    write_figure(path, figure, dpi=110)
    plt.close(figure)
