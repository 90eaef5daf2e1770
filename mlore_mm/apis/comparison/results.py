"""From single runs to one row per system: means and spreads over seeds, gains over single-task models, costs."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlore_mm.apis.comparison.plan import SINGLE
from mlore_mm.evaluation.functional.gain import delta_m, relative_gain

GROUP = ('data', 'encoder', 'budget')  # what rows have to share to be compared
COSTS = ('trainable', 'frozen', 'gmacs', 'latency_ms', 'peak_memory', 'training_s')


@dataclass(frozen=True)
class Score:
    """A mean over seeds; ``std`` is that of a sample, None for a single seed."""

    mean: float
    std: float | None
    values: tuple[float, ...]


@dataclass
class Row:
    """A line of the table.

    Args:
        data, encoder, budget: :data:`GROUP`.
        system: Its name.
        scores: By task, of the seeds that came to their end; a task without any is not in it.
        gain: delta_m in percent; None where a task or its single-task model has no score.
        costs: By :data:`COSTS`, means over seeds. The single-task models are added up over tasks, except for
            ``peak_memory``, which is that of the largest; a cost that is not known is None.
        done: Runs that came to their end.
        planned: All runs.
        failures: Title of the run and reason.
        iterations: Trained iterations, from the fewest to the most.
    """

    data: str
    encoder: str
    budget: str
    system: str
    scores: dict[str, Score] = field(default_factory=dict)
    gain: Score | None = None
    costs: dict[str, float | None] = field(default_factory=dict)
    done: int = 0
    planned: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    iterations: tuple[int, int] | None = None

    @property
    def group(self) -> tuple[str, str, str]:
        return self.data, self.encoder, self.budget


def summarise(records: Sequence[dict], tasks: Sequence[str]) -> list[Row]:
    """Rows in the order of the records.

    ``delta_m`` of a seed compares each task with the mean of its single-task models over their seeds; the row of the
    single-task models themselves has 0 with the spread of their seeds, where every task has the same seeds.

    Args:
        records: Per run ``dict(data=, encoder=, budget=, system=, task=, seed=, title=, outcome=...)``.
        tasks: Names, in the order of the columns.
    """
    rows: dict[tuple, Row] = {}
    by_row: dict[tuple, list[dict]] = {}
    for record in records:
        key = tuple(record[x] for x in (*GROUP, 'system'))
        rows.setdefault(key, Row(*key))
        by_row.setdefault(key, []).append(record)
    for key, row in rows.items():
        _fill(row, by_row[key], tasks)
    for key, row in rows.items():
        single = rows.get((*key[:3], SINGLE))
        if single is not None:
            row.gain = _gain(by_row[key], single, tasks)
    return list(rows.values())


def directions(records: Sequence[dict]) -> dict[str, dict]:
    """By task ``headline``, ``unit`` and ``higher_is_better``, as its metric says.

    Raises:
        ValueError: Runs disagree: they were not measured alike, or not on the same images.
    """
    found: dict[str, dict] = {}
    first: dict[tuple, dict] = {}
    for record in records:
        _check_images(first.setdefault(tuple(record[x] for x in GROUP), record), record)
        for task, row in record['outcome'].get('tasks', {}).items():
            said = {key: row[key] for key in ('headline', 'unit', 'higher_is_better')}
            if found.setdefault(task, said) != said:
                raise ValueError(
                    f"The task '{task}' is measured by {found[task]} in some runs and by {said} in {record['title']}. "
                    'Give every system the same metric.'
                )
    return found


def _check_images(first: dict, record: dict) -> None:
    counts = [x['outcome'].get('images') for x in (first, record)]
    if None not in counts and counts[0] != counts[1]:
        raise ValueError(
            f'{first["title"]} was scored on {counts[0]} images and {record["title"]} on {counts[1]}, so they are not '
            f"to be compared, but both say data '{record['data']}'. Give the plan of other data a name of its own, as "
            "in data=dict(name='half of it'), or another --work-dir."
        )


def _fill(row: Row, records: Sequence[dict], tasks: Sequence[str]) -> None:
    done = [x for x in records if x['outcome']['status'] == 'done']
    row.planned, row.done = len(records), len(done)
    row.failures = [(x['title'], x['outcome']['reason']) for x in records if x['outcome']['status'] == 'failed']
    lengths = [x['outcome']['iterations'] for x in done]
    row.iterations = (min(lengths), max(lengths)) if lengths else None
    for task in tasks:
        values = [x['outcome']['tasks'][task]['value'] for x in done if task in x['outcome']['tasks']]
        if values:
            row.scores[task] = _score(values)
    row.costs = _costs(done, tasks if row.system == SINGLE else [None])


def _costs(done: Sequence[dict], parts: Sequence[str | None]) -> dict[str, float | None]:
    """Means over seeds; over the parts (models of one task) the sum, of memory the largest."""
    costs: dict[str, float | None] = {}
    for name in COSTS:
        means = []
        for part in parts:
            values = [x['outcome']['costs'].get(name) for x in done if x['task'] == part]
            means.append(statistics.fmean(values) if values and None not in values else math.nan)
        total = max(means, default=math.nan) if name == 'peak_memory' else sum(means)
        costs[name] = None if any(map(math.isnan, means)) else total
    return costs


def _gain(records: Sequence[dict], single: Row, tasks: Sequence[str]) -> Score | None:
    values: dict[int, dict[str, dict]] = {}
    for record in records:
        if record['outcome']['status'] == 'done':
            values.setdefault(record['seed'], {}).update(record['outcome']['tasks'])
    gains = []
    for scores in values.values():
        if all(task in scores and task in single.scores and single.scores[task].mean for task in tasks):
            gains.append(
                delta_m(
                    {
                        task: relative_gain(
                            scores[task]['value'], single.scores[task].mean, scores[task]['higher_is_better']
                        )
                        for task in tasks
                    }
                )
            )
    return _score(gains) if gains else None


def _score(values: Sequence[float]) -> Score:
    std = statistics.stdev(values) if len(values) > 1 else None
    return Score(statistics.fmean(values), std, tuple(values))
