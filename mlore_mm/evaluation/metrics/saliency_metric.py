"""Maximum F-measure of saliency."""

import torch
from torch import Tensor

from mlore_mm.evaluation.functional import f_measure, threshold_counts
from mlore_mm.evaluation.metrics.base import TaskMetric
from mlore_mm.registry import METRICS


@METRICS.register_module()
class SaliencyMetric(TaskMetric):
    """``maxF`` in percent: the largest F over thresholds, from counts over the whole data set.

    The published code squashes the probability through a second sigmoid, which leaves values from 0.5 to 0.73, and
    then tries the thresholds 0.05, 0.10, ..., 0.95. Only 0.55 to 0.70 can tell pixels apart, that is, probabilities of
    0.20, 0.41, 0.62 and 0.85. The numbers of the paper carry that, so it is the default here.

    Args:
        task: See ``TaskMetric``, as are the arguments not named here.
        squash_twice: The published protocol. False takes the probability as it is and tries 1/256, 2/256, ..., 255/256.
        beta_squared: Weight of precision against recall.
    """

    headline = 'maxF'

    def __init__(self, task: str, squash_twice: bool = True, beta_squared: float = 0.3, **kwargs) -> None:
        super().__init__(task, **kwargs)
        self.squash_twice = squash_twice
        self.beta_squared = beta_squared
        self.thresholds = torch.arange(1, 20) * 0.05 if squash_twice else torch.arange(1, 256) / 256

    def measure(self, prediction: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
        scores = prediction.float()
        scores = scores.sigmoid() if self.squash_twice else scores
        counts = threshold_counts(scores, target, valid, self.thresholds.to(scores.device))
        return dict(counts=counts, positives=(valid & (target == 1)).sum(), count=valid.sum())

    def summarize(self, totals: dict[str, Tensor]) -> dict[str, float]:
        true_positives, predicted = totals['counts']
        f = f_measure(true_positives, predicted, totals['positives'], self.beta_squared)
        return dict(maxF=100 * f.max().item())
