"""Cosine losses of surface normals, from files and from depth."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.losses.groups import LossContext
from mlore_mm.models.losses.reduction import PER_PROCESS, Reduction, at_valid, full_precision, masked_mean
from mlore_mm.registry import MODELS
from mlore_mm.tasks.inverse_depth import to_inverse_depth
from mlore_mm.utils.depth_normals import normals_from_depth, normals_valid
from mlore_mm.utils.vectors import lengths


def _cosine_loss(logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction) -> Tensor:
    cosine = F.cosine_similarity(full_precision(logits), target, dim=1)[:, None]
    return masked_mean(1 - cosine, valid, reduction)


@MODELS.register_module()
class CosineNormalsLoss(nn.Module):
    """1 - cosine of the angle between prediction and label, of any length both; mean over pixels with a label.

    Source: normals from files of DenseMTL (Lopes et al., WACV 2023).
    Differs: pixels without a normal, which files of 8 bits hold as vectors of almost no length, are ignored; the
    published code brings them to unit length and takes them for labels.

    Args:
        shortest: Length from which a vector is a label.
        legacy_no_normals_mask: The published way: all pixels count, and where no label is known at all they count 1.
    """

    def __init__(self, shortest: float = 0.1, legacy_no_normals_mask: bool = False) -> None:
        super().__init__()
        self.shortest, self.legacy_no_normals_mask = shortest, legacy_no_normals_mask

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor, reduction: Reduction = PER_PROCESS) -> Tensor:
        """Prediction and label (B, 3, H, W), valid (B, 1, H, W) bool, to a scalar."""
        target = at_valid(target, valid)
        if self.legacy_no_normals_mask:
            valid = torch.ones_like(valid)
        else:
            valid = valid & (lengths(target) >= self.shortest)
        return _cosine_loss(logits, target, valid, reduction)


@MODELS.register_module()
class NormalsFromDepthLoss(nn.Module):
    """1 - cosine of the angle to the normals of the depth label; mean over pixels where those mean something.

    The images' meta information needs ``intrinsics``: (fx, fy, u0, v0) in pixels of the label. The label of normals
    itself is not looked at.
    Source: normals of DenseMTL (Lopes et al., WACV 2023) on outdoor data sets.
    Differs: normals are those of the depth in metres; ``legacy_inverse_depth_normals``.

    Args:
        depth: Name of the task whose label is depth in metres, 0 where there is no reading.
        legacy_inverse_depth_normals: The published way: inverse depth is taken for depth, so that normals of a plane
            are not constant and x and y have the other sign.
    """

    def __init__(self, depth: str = 'depth', legacy_inverse_depth_normals: bool = False) -> None:
        super().__init__()
        self.depth, self.legacy_inverse_depth_normals = depth, legacy_inverse_depth_normals

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        valid: Tensor,
        context: LossContext,
        reduction: Reduction = PER_PROCESS,
    ) -> Tensor:
        """Prediction (B, 3, H, W) to a scalar.

        Raises:
            ValueError: There is no label of depth, or an image without intrinsics.
        """
        depth = full_precision(self._depth(context))
        known = depth > 0
        if self.legacy_inverse_depth_normals:
            depth = to_inverse_depth(depth)
        normals = normals_from_depth(depth, depth.new_tensor(self._intrinsics(context)))
        return _cosine_loss(logits, normals, normals_valid(known), reduction)

    def _depth(self, context: LossContext) -> Tensor:
        if self.depth not in context.targets:
            raise ValueError(
                f"NormalsFromDepthLoss needs the label of the task '{self.depth}', but there are labels of "
                f'{list(context.targets)}. Check `tasks`, or `depth` of the loss.'
            )
        return context.targets[self.depth]

    @staticmethod
    def _intrinsics(context: LossContext) -> list[list[float]]:
        found = [meta.get('intrinsics') for meta in context.metas]
        if not found or None in found:
            where = [meta.get('img_path', 'an image') for meta in context.metas if meta.get('intrinsics') is None]
            raise ValueError(
                f'NormalsFromDepthLoss needs `intrinsics` (fx, fy, u0, v0) in the meta information of every image, but '
                f'{", ".join(where[:3]) or "the batch"} has none. Use a data set that reads them, such as '
                'CityscapesDataset.'
            )
        return [list(map(float, values)) for values in found]
