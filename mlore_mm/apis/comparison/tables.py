"""One table of a comparison, as Markdown, CSV and JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from mlore_mm.apis.comparison.results import Row, Score

# Cost, title, unit, factor from the stored number.
COLUMNS = (
    ('trainable', 'trained', 'M', 1e-6),
    ('frozen', 'frozen', 'M', 1e-6),
    ('gmacs', 'GMACs', '', 1.0),
    ('latency_ms', 'latency', 'ms', 1.0),
    ('peak_memory', 'memory', 'MB', 1e-6),
    ('training_s', 'training', 'min', 1 / 60),
)
_NOTES = """\
Scores are mean ± standard deviation (of a sample) over seeds; ↑ higher is better, ↓ lower is better. delta_m is the
mean relative gain in percent over all tasks against the single-task models of the same encoder and budget (the means
over their seeds). Every single-task model had the whole budget to itself; the costs in their row are added up over the
tasks, except for memory, which is that of the largest. GMACs and latency are of one image in the form of deployment, at
batch 1; memory is the peak of the training process{device}. Times are comparable only where the machine did nothing
else."""


def markdown(
    title: str, rows: Sequence[Row], tasks: Mapping[str, Mapping], device: str = '', unequal: Sequence[str] = ()
) -> str:
    """A page: the table, what its numbers are, and every failed run with its reason.

    Args:
        title: Its heading.
        rows: The lines.
        tasks: By name ``headline``, ``unit`` and ``higher_is_better``.
        device: Of the measurements, in words.
        unequal: What the systems do not have in common in their training, see :class:`Plan`.
    """
    several = [name for name in ('data', 'encoder', 'budget') if len({getattr(row, name) for row in rows}) > 1]
    header = [*several, 'system', 'runs', *(task_title(name, x) for name, x in tasks.items()), 'delta_m %']
    header += [f'{name}{f" {unit}" if unit else ""}' for _, name, unit, _ in COLUMNS]
    lines = [header, ['---'] * len(header)]
    for row in rows:
        failed = 'failed' if row.failures and not row.done else '-'
        cells = [*(getattr(row, name) for name in several), row.system, runs_text(row)]
        cells += [format_score(row.scores.get(name), failed) for name in tasks]
        cells += [format_score(row.gain, failed, '+.2f')]
        cells += [format_cost(row.costs.get(key), factor) for key, _, _, factor in COLUMNS]
        lines.append(cells)
    same = [f'{name} {getattr(rows[0], name)}' for name in ('data', 'encoder', 'budget') if name not in several]
    body = '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)
    on = f' on {device}' if device else ''
    notes = _NOTES.format(device=on)
    parts = [
        f'# {title}',
        f'{"; ".join(same)}.' if same else '',
        body,
        notes,
        _listed('Not equal in training:', unequal),
        _failures(rows),
    ]
    return '\n\n'.join(part for part in parts if part) + '\n'


def csv_text(rows: Sequence[Row], tasks: Mapping[str, Mapping]) -> str:
    """The same numbers in full, a line per system; costs in parameters, bytes, seconds and milliseconds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    names = [f'{task}/{x["headline"]}' for task, x in tasks.items()] + ['delta_m']
    costs = [key for key, *_ in COLUMNS]
    scores = [f'{name}{end}' for name in names for end in ('', ' std')]
    writer.writerow(['data', 'encoder', 'budget', 'system', 'done', 'planned', 'failed', *scores, *costs])
    for row in rows:
        cells = [row.data, row.encoder, row.budget, row.system, row.done, row.planned, len(row.failures)]
        for score in [*(row.scores.get(name) for name in tasks), row.gain]:
            cells += ['', ''] if score is None else [score.mean, '' if score.std is None else score.std]
        writer.writerow([*cells, *('' if row.costs.get(key) is None else row.costs[key] for key in costs)])
    return out.getvalue()


def as_dicts(rows: Sequence[Row]) -> list[dict]:
    """For JSON."""
    return [asdict(row) for row in rows]


def task_title(name: str, task: Mapping) -> str:
    unit = f' {task["unit"]}' if task['unit'] else ''
    return f'{name} {task["headline"]}{unit} {"↑" if task["higher_is_better"] else "↓"}'


def runs_text(row: Row) -> str:
    """How many runs stand behind a row, and how many are missing."""
    missing = row.planned - row.done - len(row.failures)
    parts = [f'{row.done}']
    parts += [f'{len(row.failures)} failed'] if row.failures else []
    parts += [f'{missing} to do'] if missing else []
    return ', '.join(parts)


def format_score(score: Score | None, missing: str = '-', form: str | None = None) -> str:
    if score is None:
        return missing
    form = form or ('.2f' if abs(score.mean) >= 10 else '.3f')
    spread = '' if score.std is None else f' ± {score.std:{form.removeprefix("+")}}'
    return f'{score.mean:{form}}{spread}'


def format_cost(value: float | None, factor: float) -> str:
    if value is None:
        return '-'
    value *= factor
    return '0' if not value else f'{value:.0f}' if value >= 100 else f'{value:.3g}'


def _failures(rows: Sequence[Row]) -> str:
    failures = [failure for row in rows for failure in row.failures]
    return _listed('Failed runs:', [f'{title}: {" ".join(reason.split())}' for title, reason in failures])


def _listed(head: str, lines: Sequence[str]) -> str:
    return '\n'.join([head, '', *(f'- {line}' for line in lines)]) if lines else ''
