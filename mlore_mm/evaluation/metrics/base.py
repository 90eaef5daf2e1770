"""What the metrics of all tasks share: finding the maps, one result per image, adding up."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from mlore_mm.tasks import Task, TaskSet

NOT_FINITE = 'not_finite'  # key of a result: the image's name where its prediction is not finite, else None


class TaskMetric(BaseMetric):
    """A metric whose value follows from sums over the pixels of the whole data set.

    Every image adds exactly one result, a dict of sums, also where it is not labelled: mmengine deals images out to
    processes and drops repeated ones by their number. So values do not depend on batches or processes.
    A subclass says how one image is measured and what the totals give. Every result holds ``count``, the valid pixels;
    a data set without any gives NaN and a warning. A prediction that is not finite at one valid pixel makes every
    number NaN, with a warning that names the first such image.

    Args:
        task: Name of the task in the samples and in ``dataset_meta['tasks']``.
        collect_device: Where mmengine gathers results, 'cpu' or 'gpu'.
        prefix: First part of the reported names, as in ``depth/RMSE``; the name of the task by default.
        collect_dir: Folder for gathering through files.
        output: A group of auxiliary predictions to measure in place of the final one, such as 'scale_1'. Its numbers
            are then reported as ``depth.scale_1/RMSE`` where no prefix is given.

    Attributes:
        headline: The number that is quoted, such as 'RMSE'.
        higher_is_better: Its direction.
        unit: Its unit for tables, such as 'm'; '' where it has none or is a percentage.
        not_finite: After an evaluation in which predictions were not finite, ``dict(images=..., first=...)``: how many
            images and the name of the first; else None. On the main process.
        class_scores: After an evaluation of class ids, by name of the class a dict of scores such as IoU. On the main
            process; empty where there are none.
    """

    headline: str = ''
    higher_is_better: bool = True
    unit: str = ''

    def __init__(
        self,
        task: str,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        output: str | None = None,
    ) -> None:
        prefix = prefix or (f'{task}.{output}' if output else task)
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.task_name, self.output = task, output
        self.not_finite: dict | None = None
        self.class_scores: dict[str, dict[str, float]] = {}

    @abstractmethod
    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Sums over one image: prediction and label (C, H, W), valid (1, H, W) bool. With the key ``count``."""

    @abstractmethod
    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        """Reported numbers from the sums over all images."""

    @property
    def dataset_meta(self) -> dict | None:
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        self.__dict__.pop('task', None)

    @cached_property
    def task(self) -> Task:
        """The definition of the task."""
        tasks = (self._dataset_meta or {}).get('tasks', {})
        if self.task_name not in tasks:
            raise ValueError(
                f"{type(self).__name__} evaluates the task '{self.task_name}', but the data set defines "
                f'{list(tasks)}. Use MultiTaskEvaluator, or set dataset_meta = dict(tasks=...) before processing.'
            )
        return TaskSet({self.task_name: tasks[self.task_name]})[self.task_name]

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            prediction, target = self._maps(sample)
            valid, finite = self.task.valid_mask(target), self.task.finite_mask(prediction)
            broken = bool((valid & ~finite).any())
            if broken:  # its numbers do not count, but have to be computed without an error
                prediction, valid = torch.where(finite, prediction, 0), valid & finite
            sums = self.measure(prediction, target, valid)
            result = {name: value.cpu() for name, value in sums.items()}
            self.results.append(dict(result, **{NOT_FINITE: sample_name(sample) if broken else None}))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        self.not_finite, self.class_scores = None, {}
        if not results:
            return {}
        names = [name for name in results[0] if name != NOT_FINITE]
        totals = {name: _total([result[name] for result in results]) for name in names}
        values = self.summarize(totals)
        self.not_finite = find_not_finite(self.prefix, results)
        if self.not_finite:
            self.class_scores = {}
            return dict.fromkeys(values, float('nan'))
        if totals['count'] == 0:
            print_log(
                f"No pixel of the {len(results)} images is labelled for the task '{self.task_name}': its metrics are "
                f'NaN. Check its labels in the data set, or leave it out with task_names.',
                logger='current',
                level=logging.WARNING,
            )
            self.class_scores = {}
            values = dict.fromkeys(values, float('nan'))
        return values

    def _maps(self, sample: dict) -> tuple[Tensor, Tensor]:
        """Prediction and label of one sample, on one device and of one size."""
        maps = []
        predicted = ('groups', f'{self.output}/{self.task_name}') if self.output else ('pred', self.task_name)
        for field, key in (predicted, ('gt', self.task_name)):
            found = sample.get(field, {})
            if key not in found:
                raise ValueError(
                    f"{type(self).__name__} needs '{key}' in `{field}` of a sample, but "
                    f'{sample.get("img_path", "an image")} has {list(found.keys())}. Check the tasks that are '
                    f'predicted (test_cfg.tasks) and the labels that the test pipeline loads.'
                )
            maps.append(found[key])
        prediction, target = maps[0], maps[1].to(maps[0].device)
        if prediction.shape[-2:] != target.shape[-2:]:
            raise ValueError(
                f"The prediction of '{self.task_name}' has size {tuple(prediction.shape[-2:])} and its label "
                f'{tuple(target.shape[-2:])} in {sample.get("img_path", "an image")}. Load labels after resizing and '
                f'padding in the test pipeline, so that they keep the original size.'
            )
        return prediction, target


def sample_name(sample: dict) -> str:
    """What messages call an image."""
    return str(sample.get('sample_id') or Path(sample.get('img_path') or 'without a name').stem)


def find_not_finite(prefix: str, results: list[dict]) -> dict | None:
    """How many images have predictions that are not finite and which is the first, with a warning; None where none."""
    broken = [result[NOT_FINITE] for result in results if result[NOT_FINITE] is not None]
    if not broken:
        return None
    print_log(
        f"Predictions of '{prefix}' are not finite (NaN or infinite) in {len(broken)} of {len(results)} images, the "
        f"first is '{broken[0]}': its metrics are NaN. Look at the weights and at the half precision of this run.",
        logger='current',
        level=logging.WARNING,
    )
    return dict(images=len(broken), first=broken[0])


def _total(values: list[Tensor]) -> Tensor:
    """Sum over images in a type that neither overflows nor rounds."""
    total = torch.zeros_like(values[0], dtype=torch.float64 if values[0].is_floating_point() else torch.int64)
    for value in values:
        total += value
    return total
