"""Mean intersection over union."""

from torch import Tensor

from mlore_mm.evaluation.functional import class_counts, confusion_counts, iou_per_class
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS


@METRICS.register_module()
class IoUMetric(TaskMetric):
    """``mIoU``, ``mAcc`` (mean recall of the classes that are labelled) and ``aAcc`` (pixel accuracy), in percent.

    From counts over the whole data set, the background class included.

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        absent: A class found neither in labels nor in predictions scores 0 ('zero', as in the published code, so that
            tables compare) or is left out of the mean ('skip', as in mmsegmentation).
        per_class: Print a table of IoU and Acc (recall) of every class, and report ``IoU_<class>`` among the results,
            as curves too. ``evaluation.json`` has both in any case. Also count ``confusion``.

    Attributes:
        confusion: After an evaluation with ``per_class`` the pixels by true and predicted class, (C, C) int64, on the
            main process; None where nothing counts.
    """

    headline = 'mIoU'

    def __init__(self, task: str, absent: str = 'zero', per_class: bool = False, **kwargs) -> None:
        super().__init__(task, **kwargs)
        if absent not in ('zero', 'skip'):
            raise ValueError(f"IoUMetric takes absent='zero' or 'skip', but got {absent!r}.")
        self.absent = absent
        self.per_class = per_class
        self.confusion: Tensor | None = None

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        sums = dict(counts=class_counts(prediction, target, valid, self.task.out_channels), count=valid.sum())
        if self.per_class:
            sums['confusion'] = confusion_counts(prediction, target, valid, self.task.out_channels)
        return sums

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        self.confusion = None
        values = super().compute_metrics(results)
        if not self.class_scores:  # not one pixel, or predictions that are not finite
            self.confusion = None
        return values

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        counts = totals['counts']
        iou = 100 * iou_per_class(counts)
        if self.absent == 'zero':
            iou = iou.nan_to_num(0)
        if 0 <= self.task.ignore_value < len(iou):  # a class that is left out
            iou[int(self.task.ignore_value)] = float('nan')
        correct, _, labelled = counts.double()
        recall = 100 * correct / labelled
        names = [str(name) for name in self.task.classes or range(self.task.out_channels)]
        self.class_scores = {
            name: dict(IoU=i, Acc=a) for name, i, a in zip(names, iou.tolist(), recall.tolist(), strict=True)
        }
        values = dict(
            mIoU=iou.nanmean().item(),
            mAcc=recall.nanmean().item(),
            aAcc=100 * (correct.sum() / labelled.sum()).item(),
        )
        if self.per_class:
            self.confusion = totals['confusion'].to_dense()
            values.update({f'IoU_{name}': scores['IoU'] for name, scores in self.class_scores.items()})
        return values
