"""odsF, oisF and AP of predicted boundaries."""

import logging
import time
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mlore_mm.evaluation.counting_pool import CountingPool
from mlore_mm.evaluation.functional.boundary import FAST_THRESHOLDS, FULL_THRESHOLDS, boundary_scores
from mlore_mm.evaluation.metrics.base import NOT_FINITE, find_not_finite, sample_name
from mlore_mm.registry import METRICS
from mlore_mm.tasks.drawing import probability_to_bytes

IGNORE = 255
SECONDS_BETWEEN_MESSAGES = 5
THRESHOLDS = dict(full=FULL_THRESHOLDS, fast=FAST_THRESHOLDS)


@METRICS.register_module()
class BoundaryMetric(BaseMetric):
    """The boundary score of the SEISM protocol, with an exact matching; odsF, oisF and AP in 0..100.

    While images stream through, threads reduce each to four counts per threshold (see ``boundary_counts``);
    these are all that is kept and, in distributed runs, all that is sent. Predictions are rounded to 8 bits first, as
    in the files that ``tools/test.py --out`` writes, so ``tools/analysis_tools/eval_boundary.py`` gives the same
    numbers for those files. A data set without any labelled image gives NaN and a warning, and so does a prediction of
    a labelled image that is not finite at one pixel (see ``not_finite`` of ``TaskMetric``).

    Args:
        task: Name of the task in the data samples.
        max_dist: Largest distance of a matched pair, as a fraction of the image diagonal: 0.0075 for PASCAL-Context,
            0.011 for NYUD-v2.
        thresholds: 'full', the 101 thresholds of the protocol, for numbers to be published; 'fast', 0.05 to 0.95 in
            steps of 0.05, for validation while training (odsF loses little, AP is coarse); a list of ascending
            numbers; or an int n, for n / (n + 1) of the range in equal steps.
        ground_truth: 'label_file' makes the true boundary from the file ``sample['label_paths'][task]`` at its own
            size: a PASCAL-Context ``.mat``, or an image whose values are read as a label map (a 0/255 edge map of
            NYUD-v2, say). This is the protocol. 'target' makes it from the map ``sample['gt'][task]`` in the same way
            as from an edge image, pixels above 0.5 being boundary and ignored pixels not. For NYUD-v2 labels at
            original size both agree. For PASCAL-Context 'target' differs, since the targets of training are not made
            as the protocol makes the true boundary.
        workers: Threads per rank; 0 counts in the main one.
        collect_device: See mmengine's ``BaseMetric``, as for ``collect_dir``.
        prefix: First part of the reported names; the task's name by default.
        output: As in ``TaskMetric``.
    """

    headline, higher_is_better, unit = 'odsF', True, ''

    def __init__(
        self,
        task: str,
        max_dist: float = 0.0075,
        thresholds: str | int | Sequence[float] = 'full',
        ground_truth: str = 'label_file',
        workers: int = 2,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        output: str | None = None,
    ) -> None:
        prefix = prefix or (f'{task}.{output}' if output else task)
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if ground_truth not in ('label_file', 'target'):
            raise ValueError(
                f"BoundaryMetric of task '{task}': ground_truth must be 'label_file' or 'target', but got "
                f"'{ground_truth}'."
            )
        if not 0 < max_dist < 1:
            raise ValueError(
                f"BoundaryMetric of task '{task}': max_dist is a part of the image's diagonal, such as 0.0075, but got "
                f'{max_dist}.'
            )
        self.task = task
        self.predicted = ('groups', f'{output}/{task}') if output else ('pred', task)
        self.ground_truth = ground_truth
        self.not_finite: dict | None = None
        self.thresholds = resolve_thresholds(thresholds)
        self._pool = CountingPool(max_dist, self.thresholds, workers)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Queue each image; one result per image, zero counts for an image without labels."""
        for sample in data_samples:
            name = sample_name(sample)
            values = _map(sample, *self.predicted, name)
            labels = self._labels(sample, name)
            broken = labels is not None and not np.isfinite(values).all()
            prediction = probability_to_bytes(values)
            # `_finish` adds the counts
            self.results.append({'labelled': labels is not None, NOT_FINITE: name if broken else None})
            if labels is None or broken:
                self._pool.add_unlabelled()
            else:
                self._pool.submit(name, prediction, labels)

    def evaluate(self, size: int) -> dict:
        """Finish the counts of this rank, then gather and score as any metric does."""
        self._finish()
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        self._finish()
        self.not_finite = find_not_finite(self.prefix, results)
        if self.not_finite:
            return dict.fromkeys(('odsF', 'oisF', 'AP'), float('nan'))
        if not any(result['labelled'] for result in results):
            print_log(
                f"None of the {len(results)} images has boundary labels for the task '{self.task}': its metrics are "
                f'NaN. Check its labels in the data set, or leave it out with task_names.',
                logger='current',
                level=logging.WARNING,
            )
            return dict.fromkeys(('odsF', 'oisF', 'AP'), float('nan'))
        scores = boundary_scores(np.stack([result['counts'] for result in results]), self.thresholds)
        return dict(odsF=100 * scores.ods_f, oisF=100 * scores.ois_f, AP=100 * scores.ap)

    def _finish(self) -> None:
        """Wait for the counts of all images of this rank and put them into their results."""
        last = time.monotonic()

        def report(finished: int, images: int) -> None:
            nonlocal last
            if time.monotonic() - last > SECONDS_BETWEEN_MESSAGES:
                last = time.monotonic()
                print_log(f'{self.prefix}: boundaries of {finished} of {images} images counted', logger='current')

        if len(self._pool):
            for result, counts in zip(self.results, self._pool.drain(report), strict=True):
                result['counts'] = counts

    def _labels(self, sample: dict, name: str) -> np.ndarray | str | None:
        """What ``CountingPool.submit`` takes, or None for an image without labels."""
        if self.ground_truth == 'label_file':
            if 'label_paths' not in sample:
                raise ValueError(
                    f"BoundaryMetric of task '{self.task}', image '{name}': the data sample has no `label_paths`. Add "
                    f"it to the meta keys of the packing transform, or set ground_truth='target'."
                )
            path = sample['label_paths'].get(self.task)
            return None if path is None else str(path)
        target = _map(sample, 'gt', self.task, name)
        if (target == IGNORE).all():
            return None
        return ((target > 0.5) & (target != IGNORE)).astype(np.uint8)


def resolve_thresholds(thresholds: str | int | Sequence[float]) -> tuple[float, ...]:
    """'full', 'fast', a number of thresholds or the thresholds themselves, to the thresholds."""
    if isinstance(thresholds, str):
        if thresholds not in THRESHOLDS:
            raise ValueError(f"Boundary thresholds: 'full', 'fast', an int or a list expected, got '{thresholds}'.")
        return THRESHOLDS[thresholds]
    if isinstance(thresholds, int):
        thresholds = [step / (thresholds + 1) for step in range(1, thresholds + 1)]
    values = tuple(float(threshold) for threshold in thresholds)
    if not values or list(values) != sorted(set(values)) or not 0 <= values[0] <= values[-1] <= 1:
        raise ValueError(f'Boundary thresholds: one or more numbers in 0..1, ascending, expected, got {thresholds}.')
    return values


def _map(sample: dict, kind: str, task: str, name: str) -> np.ndarray:
    """(H, W) array of the (1, H, W) map of a task in ``pred`` or ``gt``."""
    if task not in sample.get(kind, {}):
        raise ValueError(
            f"BoundaryMetric of task '{task}', image '{name}': no such map in `{kind}`, which has "
            f'{sorted(sample.get(kind, {}))}. Check `task` of the metric and the tasks of the model.'
        )
    values = sample[kind][task].detach().cpu().float().numpy()
    if values.ndim != 3 or values.shape[0] != 1:
        raise ValueError(
            f"BoundaryMetric of task '{task}', image '{name}': `{kind}` must be (1, H, W), but is {values.shape}."
        )
    return values[0]
