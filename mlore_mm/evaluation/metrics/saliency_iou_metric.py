"""Saliency as benchmark family A scores it."""

import torch
from torch import Tensor

from mlore_mm.evaluation.functional import image_scores, threshold_counts, to_bytes
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS


@METRICS.register_module()
class SaliencyIoUMetric(TaskMetric):
    """``mIoU`` and ``maxF`` in percent, each the largest over 15 thresholds from 0.2 to 0.9.

    ``mIoU`` is the mean over images of the IoU of the foreground, 1 where nothing is labelled and nothing found. F, of
    equal weight, comes from the mean precision and the mean recall over images. Not to be compared with
    :class:`SaliencyMetric`, the protocol of family B, which counts pixels of the whole data set.
    Source: ASTMT (Maninis et al., CVPR 2019), MTI-Net (Vandenhende et al., ECCV 2020).

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        eight_bit: Predictions go through a picture of 8 bits, cut off and not rounded, as the published evaluation of
            files does.
    """

    headline = 'mIoU'

    def __init__(self, task: str, eight_bit: bool = False, **kwargs) -> None:
        super().__init__(task, **kwargs)
        self.eight_bit = eight_bit
        self.thresholds = torch.linspace(0.2, 0.9, 15)

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        scores = to_bytes(prediction) / 255 if self.eight_bit else prediction.float()
        positive = (target >= 0.5).to(torch.uint8)
        counts = threshold_counts(scores, positive, valid, self.thresholds.to(scores.device))
        labelled = valid.any().long()
        found = image_scores(counts, (valid & (positive == 1)).sum())
        return dict({name: x * labelled for name, x in found.items()}, images=labelled, count=valid.sum())

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        iou, precision, recall = (totals[name] / totals['images'] for name in ('iou', 'precision', 'recall'))
        f = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        return dict(mIoU=100 * iou.max().item(), maxF=100 * f.max().item())
