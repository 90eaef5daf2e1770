"""Runs and rows of a comparison whose numbers can be computed by hand."""

from mlore_mm.apis.comparison.results import Row, Score

TASKS = dict(
    a=dict(headline='IoU', unit='', higher_is_better=True), b=dict(headline='RMSE', unit='m', higher_is_better=False)
)


def record(system, seed, task=None, **values) -> dict:
    tasks = {name: dict(TASKS[name], value=value) for name, value in values.items()}
    costs = dict(trainable=10, frozen=5, gmacs=1.0, latency_ms=None, peak_memory=7 + seed, training_s=60.0)
    outcome = (
        dict(status='done', iterations=9, tasks=tasks, costs=costs) if tasks else dict(status='failed', reason='x')
    )
    title = f'{system}, seed {seed}'
    place = dict(data='d', encoder='e', budget='9 iterations')
    return dict(place, system=system, task=task, seed=seed, title=title, outcome=outcome)


def score(mean, std=None):
    return Score(mean, std, (mean,))


def two_rows() -> list[Row]:
    first = Row(
        'd', 'e', 'b', 'x', dict(a=score(60.0, 2.0), b=score(0.5)), score(-1.5, 0.25), dict(trainable=2e6), 2, 4
    )
    first.failures = [('x, seed 3', 'no\n memory')]
    return [first, Row('d', 'e', 'b', 'y', planned=1, costs=dict(gmacs=0.0))]
