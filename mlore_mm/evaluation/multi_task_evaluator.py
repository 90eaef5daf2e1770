"""Evaluates every task with its own metric and sums up in one table."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub, MMLogger, print_log

from mlore_mm.evaluation.functional import delta_m
from mlore_mm.evaluation.report import TaskReport, format_table, without_nan
from mlore_mm.registry import EVALUATOR, METRICS
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.whole_files import write_whole


@EVALUATOR.register_module()
class MultiTaskEvaluator(Evaluator):
    """One metric per task as the task defines it, the multi-task gain, a table in the log, and a JSON file.

    Results are named ``<task>/<metric>``, such as ``depth/RMSE``, and ``delta_m``. To keep the best checkpoint:
    ``default_hooks=dict(checkpoint=dict(save_best='delta_m', rule='greater'))``.

    Args:
        tasks: The evaluated tasks or their configs by name, in the order of the table; ``bind_tasks`` writes them. A
            task without a ``metric`` is left out.
        metrics: Further metrics, or their configs, that see the same samples.
        baselines: Headline number by task to compare with, such as those of single-task models. ``delta_m`` is the mean
            gain in percent over the tasks that have one; baselines of tasks that are not evaluated are not used.
        out_file: Where the JSON goes; by default ``evaluation.json`` beside the log file of the run, if it has one. A
            later evaluation overwrites it.

    Attributes:
        not_finite: After an evaluation, by task, ``dict(images=..., first=...)`` where predictions were not finite.
        written: The JSON that the last evaluation wrote, on the main process; None where none was.
    """

    def __init__(
        self,
        tasks: Mapping | None = None,
        metrics: dict | Sequence = (),
        baselines: Mapping[str, float] | None = None,
        out_file: str | None = None,
    ) -> None:
        if not tasks:
            raise ValueError(
                'MultiTaskEvaluator got no `tasks`. bind_tasks(cfg) writes them, and MultiTaskRunner.from_cfg calls '
                "it: set runner_type='mlore_mm.MultiTaskRunner', or call bind_tasks yourself."
            )
        tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        self.tasks = tasks.subset([name for name, task in tasks.items() if task.metric])
        self.task_metrics = {name: METRICS.build({**task.metric, 'task': name}) for name, task in self.tasks.items()}
        extra = [metrics] if isinstance(metrics, dict) or not isinstance(metrics, Sequence) else list(metrics)
        extra = [METRICS.build(metric) if isinstance(metric, dict) else metric for metric in extra]
        super().__init__([*self.task_metrics.values(), *extra])
        self.baselines = {name: float(value) for name, value in (baselines or {}).items() if name in self.tasks}
        if 0 in self.baselines.values():
            raise ValueError(f'A baseline of 0 leaves no relative gain: baselines={self.baselines}.')
        self.out_file = out_file
        self.not_finite: dict[str, dict] = {}
        self.written: Path | None = None
        self.dataset_meta = {}

    @property
    def dataset_meta(self) -> dict | None:
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        """Metrics read task definitions from here; those of this evaluator come first."""
        meta = dict(dataset_meta or {})
        meta['tasks'] = {**meta.get('tasks', {}), **self.tasks.to_config()}
        self._dataset_meta = meta
        for metric in self.metrics:
            metric.dataset_meta = meta

    def evaluate(self, size: int) -> dict[str, float]:
        """All metrics and, with baselines, ``delta_m``, from ``size`` images; prints the table and writes the JSON."""
        results = super().evaluate(size)
        self.not_finite = self._find_not_finite()
        reports = [self._report(name, results) for name in self.tasks]
        gains = {report.task.name: report.gain for report in reports if report.gain is not None}
        if gains:
            results['delta_m'] = delta_m(gains)
        if is_main_process():
            path = Path(self.out_file) if self.out_file else _beside_log()
            rest_in = path.name if path else 'the results'
            table = format_table(reports, results.get('delta_m'), self.not_finite, rest_in)
            print_log(f'Evaluation of {size} images\n{table}', logger='current')
            self.written = self._write(path, reports, results, size) if path else None
        return results

    @property
    def confusions(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """By task the names of the classes and the pixels by true and predicted class, where the metric counts them."""
        metrics = {name: m for name, m in self.task_metrics.items() if getattr(m, 'confusion', None) is not None}
        return {name: (list(m.class_scores), m.confusion.numpy()) for name, m in metrics.items()}

    def _find_not_finite(self) -> dict[str, dict]:
        """By prefix what the metrics of the main process found, on every process."""
        found = {m.prefix: m.not_finite for m in self.metrics if getattr(m, 'not_finite', None)}
        found = [found]
        broadcast_object_list(found)
        return found[0]

    def _report(self, name: str, results: dict[str, float]) -> TaskReport:
        task, prefix = self.tasks[name], f'{self.task_metrics[name].prefix}/'
        metrics = {key.removeprefix(prefix): value for key, value in results.items() if key.startswith(prefix)}
        if task.headline not in metrics:
            print_log(
                f"The headline '{task.headline}' of the task '{name}' is not among its metrics {list(metrics)}. "
                f'Set `headline` of the task to one of them.',
                logger='current',
                level=logging.WARNING,
            )
        metric = self.task_metrics[name]
        classes, shown = getattr(metric, 'class_scores', {}), getattr(metric, 'per_class', False)
        return TaskReport(task, metrics, self.baselines.get(name), classes, shown)

    def _write(self, path: Path, reports: list[TaskReport], results: dict[str, float], size: int) -> Path | None:
        """The path, or None where the disk does not take it."""
        content = dict(
            iteration=_training_steps(),
            images=size,
            tasks={report.task.name: report.to_dict() for report in reports},
            delta_m=results.get('delta_m'),
            delta_m_tasks=[report.task.name for report in reports if report.gain is not None],
            not_finite=self.not_finite,
            results=results,
        )
        try:
            write_whole(path, json.dumps(without_nan(content), indent=2) + '\n')
        except ValueError as error:  # the numbers are in the log all the same, and a training goes on
            print_log(str(error), 'current', logging.WARNING)
            return None
        print_log(f'Wrote {path}', logger='current')
        return path


def _training_steps() -> int | None:
    """Steps trained so far in this run, None outside training."""
    last = MessageHub.get_current_instance().get_info('iter')  # counted from 0
    return None if last is None else last + 1


def _beside_log() -> Path | None:
    """``evaluation.json`` in the folder of the current log file, or None where nothing is logged to a file."""
    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, logging.FileHandler):
            folder = Path(handler.baseFilename).parent
            return folder / 'evaluation.json' if folder.is_dir() else None
    return None
