"""A sampler for training that can be resumed exactly."""

from collections.abc import Iterator
from itertools import count

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mlore_mm.registry import DATA_SAMPLERS
from mlore_mm.utils.seeding import SeededIndex, derive_seed


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Infinite sampler with a new permutation per pass; finite passes in epoch-based training.

    The sample at position p of the stream and the seed of its augmentation depend on the training seed and on p only.
    A resumed training therefore sees the same samples as an uninterrupted one, whatever the number of processes and
    loader workers: process r of n takes positions r, r + n, r + 2n and so on, and a batch of 4 in one process holds the
    same augmented samples as batches of 2 in two.

    Differs: mmengine's ``InfiniteSampler`` also continues the order, but its augmentation restarts from the seed of the
    worker, so that a resumed training sees other crops.

    In epoch-based training every process takes the same number of samples, filled up from the next pass where the
    number of processes does not divide the data set.

    Args:
        dataset: What is sampled; only its length matters. :class:`MultiTaskDataset` uses the seeds.
        shuffle: False keeps the order of the data set; augmentation is seeded in either case.
        seed: The same in all processes; by default drawn and shared.
    """

    def __init__(self, dataset, shuffle: bool = True, seed: int | None = None) -> None:
        self.size = len(dataset)
        if not self.size:
            raise ValueError('The training set has no sample. Check `ann_file` and `indices` of the data set.')
        self.rank, self.world_size = get_dist_info()
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.start = self.epoch = 0
        self.by_epoch = False  # set by the loop

    def skip(self, num_samples: int) -> None:
        """Skip samples of this process in the training, or in each epoch; called by the loops."""
        if num_samples < 0:
            raise ValueError(f'num_samples to skip has to be at least 0, but got {num_samples}.')
        self.start = num_samples

    def __iter__(self) -> Iterator[SeededIndex]:
        order, current = [], None
        first = self.epoch * len(self) if self.by_epoch else 0
        numbers = range(first + self.start, first + len(self)) if self.by_epoch else count(self.start)
        for number in numbers:
            position = self.rank + number * self.world_size
            epoch, place = divmod(position, self.size)
            if epoch != current:
                order, current = self._order(epoch), epoch
            yield SeededIndex(order[place], derive_seed(self.seed, 0, position))

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(derive_seed(self.seed, 1, epoch))
        return torch.randperm(self.size, generator=generator).tolist()

    def __len__(self) -> int:
        return -(-self.size // self.world_size) if self.by_epoch else self.size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; called by mmengine."""
        self.epoch = epoch
