"""The results of one evaluation as rows, as a table to read and as a dict to store."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlore_mm.evaluation.functional import relative_gain
from mlore_mm.tasks import Task

_MORE = 5  # further numbers per row, which says how many are left out; all of them are in the stored results


@dataclass(frozen=True)
class TaskReport:
    """What one task scored.

    Args:
        task: The definition of the task.
        metrics: Value by name, without the task's prefix.
        baseline: What a single-task model or a trivial predictor scores on the headline, if known.
        classes: Of a task of class ids, by name of the class what it scored, such as ``dict(IoU=..., Acc=...)``.
        show_classes: Print them as a table of their own; they are stored in any case.
    """

    task: Task
    metrics: Mapping[str, float]
    baseline: float | None = None
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    show_classes: bool = False

    @property
    def value(self) -> float:
        """The headline, NaN where the metric does not report it."""
        return self.metrics.get(self.task.headline, math.nan)

    @property
    def gain(self) -> float | None:
        """Percent better than the baseline."""
        if self.baseline is None:
            return None
        return relative_gain(self.value, self.baseline, self.task.higher_is_better)

    def to_dict(self) -> dict:
        return dict(
            headline=self.task.headline,
            value=self.value,
            unit=self.task.unit,
            higher_is_better=self.task.higher_is_better,
            baseline=self.baseline,
            gain=self.gain,
            metrics=dict(self.metrics),
            **(dict(classes={name: dict(scores) for name, scores in self.classes.items()}) if self.classes else {}),
        )


def format_table(
    reports: list[TaskReport],
    delta_m: float | None = None,
    not_finite: Mapping[str, Mapping] | None = None,
    rest_in: str = 'the results',
) -> str:
    """A row per task: headline with direction and unit, gain over the baseline where there is one, further numbers.

    Below it a line for every task whose predictions were ``not_finite``, see ``MultiTaskEvaluator``, and a table of the
    classes for every task that shows them. A row that leaves numbers out says how many, and that they are ``rest_in``.
    """
    compared = any(report.baseline is not None for report in reports)
    header = ['task', 'headline', 'value', *(['baseline', 'gain %'] if compared else []), 'more']
    rows = [_row(report, compared, rest_in) for report in reports]
    if delta_m is not None:
        used = [report.task.name for report in reports if report.gain is not None]
        over = f'mean over {len(used)} of {len(reports)} tasks: {", ".join(used)}'
        rows.append(['delta_m', '', '', '', f'{delta_m:+.2f}', over])
    notes = [
        f"{name}: not finite in {found['images']} images, the first is '{found['first']}'"
        for name, found in (not_finite or {}).items()
    ]
    classes = [format_classes(report) for report in reports if report.classes and report.show_classes]
    return '\n'.join([_align([header, *rows], left=(0, 1, len(header) - 1)), *notes, *classes])


def format_classes(report: TaskReport) -> str:
    """A row per class with all its scores."""
    scores = list(next(iter(report.classes.values())))
    rows = [[str(name), *(format_number(values[s]) for s in scores)] for name, values in report.classes.items()]
    return '\n' + _align([[f'{report.task.name}: class', *scores], *rows], left=(0,))


def format_number(value: float) -> str:
    """Four digits after the point for small numbers such as metres, two for large ones such as percent."""
    if value is None:
        return ''
    return 'nan' if math.isnan(value) else f'{value:.2f}' if abs(value) >= 10 else f'{value:.4f}'


def _row(report: TaskReport, compared: bool, rest_in: str) -> list[str]:
    task = report.task
    direction = 'up' if task.higher_is_better else 'down'
    headline = f'{task.headline} ({f"{task.unit}, " if task.unit else ""}{direction})'
    gain = [format_number(report.baseline), '' if report.gain is None else f'{report.gain:+.2f}'] if compared else []
    of_classes = {f'{score}_{name}' for name, scores in report.classes.items() for score in scores}
    others = {name: value for name, value in report.metrics.items() if name not in {task.headline, *of_classes}}
    more = [f'{name} {format_number(value)}' for name, value in others.items()]
    left_out = len(more[_MORE:]) + (0 if report.show_classes else len(of_classes))
    more = [*more[:_MORE], *([f'(+{left_out} in {rest_in})'] if left_out else [])]
    return [task.name, headline, format_number(report.value), *gain, '  '.join(more)]


def _align(rows: list[list[str]], left: tuple[int, ...]) -> str:
    """Rows of cells as text with a rule below the first; columns not named in ``left`` end flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append('  '.join(cells).rstrip())
    lines.insert(1, '-' * max(map(len, lines)))
    return '\n'.join(lines)


def without_nan(value):
    """The same nested value with None for NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
