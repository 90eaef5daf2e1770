"""mmsegmentation's losses for tasks whose labels are class ids."""

from inspect import signature

import torch
from torch import Tensor, nn

from mlore_mm.registry import MODELS

IGNORE_INDEX = 255


@MODELS.register_module()
class MMSegLoss(nn.Module):
    """A loss of mmsegmentation (cross-entropy with sampling, Dice, Lovasz ...) called as losses are here.

    The criterion puts it around every loss of the scope ``mmseg`` by itself, so that
    ``loss=dict(type='mmseg.DiceLoss')`` of a task is enough. What such a loss averages over is its own rule; its
    cross-entropy divides by all pixels, ignored ones too, unless ``avg_non_ignore=True`` or ``class_weight`` (which
    has a mean of its own, and an error in some releases where both are given).

    Args:
        loss: The loss, or its config.
    """

    def __init__(self, loss: dict | nn.Module) -> None:
        super().__init__()
        self.loss = loss if isinstance(loss, nn.Module) else MODELS.build(loss)
        accepted = signature(self.loss.forward).parameters.values()
        self._takes_index = any(x.name == 'ignore_index' or x.kind == x.VAR_KEYWORD for x in accepted)
        own = getattr(self.loss, 'ignore_label', IGNORE_INDEX)
        if not self._takes_index and own != IGNORE_INDEX:
            raise ValueError(
                f'{type(self.loss).__name__} has ignore_label={own}, but pixels without a label come as {IGNORE_INDEX}.'
            )

    @property
    def class_weight(self):
        return getattr(self.loss, 'class_weight', None)

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Logits (B, C, H, W), class ids (B, 1, H, W) of any dtype, valid (B, 1, H, W) bool, to a scalar."""
        ids = torch.where(valid, target.long(), IGNORE_INDEX)[:, 0]
        if not valid.any():  # their means over nothing are not a number
            return logits.sum() * 0
        given = dict(ignore_index=IGNORE_INDEX) if self._takes_index else {}
        return self.loss(logits, ids, **given)


def adapt_loss(loss: nn.Module) -> nn.Module:
    """``loss``, inside an adapter where it is mmsegmentation's."""
    return MMSegLoss(loss) if type(loss).__module__.partition('.')[0] == 'mmseg' else loss
