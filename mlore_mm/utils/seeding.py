"""Random numbers that follow from where training is, and not from how it got there."""

import random

import numpy as np
import torch


def derive_seed(*numbers: int) -> int:
    """One seed, 0 to 2**32 - 1, from several numbers of 0 or more; neighbours give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the generator that mmcv's transforms draw from)
    torch.manual_seed(seed)


class SeededIndex(int):
    """The index of a sample that brings along the seed for its augmentation.

    Everywhere else it is a plain number, so data sets that do not know it take it as any index. What is computed from
    it, such as the index within a part of a ConcatDataset, keeps the seed.
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def _keep(name: str):
        def method(self, *others):
            result = getattr(int, name)(self, *others)
            return SeededIndex(result, self.seed) if type(result) is int else result

        return method

    __add__, __radd__, __sub__, __rsub__ = map(_keep, ('__add__', '__radd__', '__sub__', '__rsub__'))
    __mul__, __rmul__, __mod__, __floordiv__ = map(_keep, ('__mul__', '__rmul__', '__mod__', '__floordiv__'))
    __neg__, __pos__, __abs__ = map(_keep, ('__neg__', '__pos__', '__abs__'))
    del _keep

    def __getnewargs__(self) -> tuple[int, int]:  # on its way to a loader's worker
        return int(self), self.seed
