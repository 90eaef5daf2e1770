"""L1 losses: plain maps such as depth, and unit vectors."""

from torch import Tensor, nn

from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, full_precision, masked_mean
from mlore_mm.registry import MODELS
from mlore_mm.utils.vectors import unit_vectors


@MODELS.register_module()
class MaskedL1Loss(nn.Module):
    """Absolute difference, mean over the channels of the valid pixels.

    Source: depth of MLoRE (Yang et al., CVPR 2024).
    """

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Prediction and label (B, C, H, W) in the same unit, valid (B, 1, H, W) bool, to a scalar."""
        return masked_mean((full_precision(logits) - at_valid(target, valid)).abs(), valid, reduction) / logits.shape[1]


@MODELS.register_module()
class NormalsL1Loss(nn.Module):
    """L1 distance between the prediction at unit length and the label, summed over channels, mean over valid pixels.

    Source: surface normals of MLoRE (Yang et al., CVPR 2024); with the mean over elements, a third of it, of MTI-Net
    (Vandenhende et al., ECCV 2020).

    Args:
        average: What the mean is taken over, 'pixels' or 'elements', of which a pixel has three.
    """

    def __init__(self, average: str = 'pixels') -> None:
        super().__init__()
        if average not in ('pixels', 'elements'):
            raise ValueError(f"average of NormalsL1Loss is 'pixels' or 'elements', but got {average!r}.")
        self.average = average

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Prediction of any length and unit vectors, both (B, 3, H, W), valid (B, 1, H, W) bool, to a scalar."""
        prediction = unit_vectors(full_precision(logits), dim=1)
        loss = masked_mean((prediction - at_valid(target, valid)).abs(), valid, reduction)
        return loss if self.average == 'pixels' else loss / logits.shape[1]
