"""What single-task runs scored, as the baselines that ``delta_m`` is relative to."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Baseline:
    """The headline number of one task, and where it comes from."""

    task: str
    headline: str
    value: float
    images: int
    iteration: int | None
    file: Path


def find_evaluation(path: str | Path) -> Path:
    """``path`` if it is a file, else the newest ``evaluation.json`` below that folder.

    Raises:
        ValueError: There is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    files = sorted(path.rglob('evaluation.json'), key=lambda file: (file.stat().st_mtime, str(file)))
    if not files:
        raise ValueError(
            f'No evaluation.json at or below {path}. Training with validation and tools/test.py write one to a '
            'folder, named by the time, of the work folder.'
        )
    return files[-1]


def read_baselines(paths: Iterable[str | Path]) -> list[Baseline]:
    """The headline numbers of all tasks in the files, or the newest ones below the folders.

    Raises:
        ValueError: A file that :class:`MultiTaskEvaluator` has not written, a number that is missing or 0, a task that
            is in two files, or files of different numbers of images, which cannot be of one data set.
    """
    found: dict[str, Baseline] = {}
    for file in dict.fromkeys(map(find_evaluation, paths)):
        for baseline in _read(file):
            other = found.setdefault(baseline.task, baseline)
            if other is not baseline:
                raise ValueError(
                    f"The task '{baseline.task}' is in {other.file} ({other.value:g}) and in {file} "
                    f'({baseline.value:g}). Give one run per task.'
                )
    counts = {baseline.images: baseline.file for baseline in found.values()}
    if len(counts) > 1:
        listed = ', '.join(f'{images} in {file}' for images, file in counts.items())
        raise ValueError(f'The numbers are of different images ({listed}). Evaluate all runs on the same split.')
    return list(found.values())


def _read(file: Path) -> list[Baseline]:
    try:
        content = json.loads(file.read_text())
        rows = [
            Baseline(name, row['headline'], row['value'], content['images'], content['iteration'], file)
            for name, row in content['tasks'].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{file} is not an evaluation.json of MultiTaskEvaluator ({error!r}).') from error
    for row in rows:
        if not row.value:  # None is a NaN
            raise ValueError(
                f"{file} has {row.value} for {row.headline} of the task '{row.task}', to which no gain can be "
                'relative. Was anything labelled with it in the evaluated images, and the training long enough?'
            )
    return rows


def as_config(baselines: Iterable[Baseline]) -> str:
    """Lines for a config, where each number comes from included."""
    lines = ['val_evaluator = dict(', '    baselines=dict(']
    for x in baselines:
        origin = x.file.parent.parent.name or x.file.parent.name
        step = '' if x.iteration is None else f', iteration {x.iteration}'
        lines.append(f'        {x.task}={float(f"{x.value:.6g}")!r},  # {x.headline}, {origin}{step}')
    return '\n'.join([*lines, '    )', ')', 'test_evaluator = val_evaluator'])
