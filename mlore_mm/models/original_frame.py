"""Logits of an image as the network saw it, brought back to the image as it lies on the disk."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mlore_mm.tasks import Task


def to_original(
    task: Task, logits: Tensor, sample, method: str, added: tuple[int, int] = (0, 0), late: bool = False
) -> Tensor:
    """What a task's ``method`` makes of logits, with padding, flip and scale undone.

    Args:
        task: Whose logits they are.
        logits: (C, h, w) of one image.
        sample: Its data sample, whose ``padding``, ``flip``, ``scale_factor`` and ``ori_shape`` are undone.
        method: 'decode', 'activate' or 'finalize'.
        added: Rows and columns of the padding that only its batch added, and which are not in the logits.
        late: Decode first and resize the decoded maps, as benchmark family A does.

    Raises:
        ValueError: A vertical flip.
    """
    left, right, top, bottom = sample.get('padding', (0, 0, 0, 0))
    right, bottom = right - added[1], bottom - added[0]
    logits = logits[:, top : logits.shape[-2] - bottom, left : logits.shape[-1] - right]
    if sample.get('flip', False):
        if sample.get('flip_direction', 'horizontal') != 'horizontal':
            raise ValueError(f'Only horizontal flips can be undone, but got {sample.flip_direction!r}.')
        logits = task.hflip_values(logits.flip(-1), channel_axis=-3)
    scale = sample.get('scale_factor', (1.0, 1.0))
    size = sample.get('ori_shape', logits.shape[-2:])
    if method == 'decode' and late:
        maps = task.decode_and_resize(logits, lambda x: resize_maps(x[None], size)[0])
    else:
        maps = getattr(task, method)(resize_maps(logits[None], size)[0])
    return task.rescale_values(maps, 1 / ((scale[0] * scale[1]) ** 0.5))


def resize_maps(x: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (B, C, h, w) to ``size`` (H, W): values bilinearly, ids from the nearest pixel."""
    if tuple(x.shape[-2:]) == tuple(size[:2]):
        return x
    if not x.is_floating_point():
        return F.interpolate(x.double(), size=tuple(size[:2]), mode='nearest').to(x.dtype)
    return F.interpolate(x, size=tuple(size[:2]), mode='bilinear', align_corners=False)
