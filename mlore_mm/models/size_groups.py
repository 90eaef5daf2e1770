"""Images of a batch by size, so that a prediction does not depend on what else is in the batch."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel


def size_groups(inputs: Tensor, samples: Sequence, model: nn.Module) -> Iterator[tuple[list[int], Tensor]]:
    """Images of one size at a time, without what a batch of several sizes adds to them.

    The data preprocessor pads every image to the largest one of the batch. Global parts (routers that see the whole
    map, grids, attention, pooling) would notice; so each image is computed at the size that it has alone.

    Args:
        inputs: (B, C, H, W) as the data preprocessor stacks them.
        samples: B data samples; ``own_shape`` is the (h, w) that the preprocessor gives an image alone. Without it the
            image fills the batch.
        model: Where its parameters are sharded over processes, all processes make the same number of calls: one that
            has no group left gets the last one again, with no indices.

    Yields:
        Indices of images, and these images (b, C, h, w).
    """
    full = tuple(inputs.shape[-2:])
    groups: dict[tuple[int, int], list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(tuple(sample.get('own_shape', full)), []).append(index)
    batch = inputs
    for (height, width), indices in groups.items():
        whole = len(groups) == 1
        batch = (inputs if whole else inputs[indices])[..., :height, :width]
        yield indices, batch
    for _ in range(_rounds_of_others(len(groups), inputs, model)):
        yield [], batch


def _rounds_of_others(own: int, inputs: Tensor, model: nn.Module) -> int:
    """By how many groups the process with most of them exceeds this one, where calls have to go together."""
    if get_world_size() == 1 or not any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        return 0
    most = torch.tensor(own, device=inputs.device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    return int(most) - own
