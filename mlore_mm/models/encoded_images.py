"""A batch of images of which only the encoder's features are there."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlore_mm.models.features import Features


@dataclass(frozen=True)
class EncodedImages:
    """Stands for a batch of images (B, C, H, W) that a frozen encoder has seen before; a decoder needs no more.

    Args:
        features: Shared levels (B, C_l, h_l, w_l).
        shape: Of the batch of images.
    """

    features: Features
    shape: torch.Size

    @classmethod
    def stack(cls, levels: Sequence[Sequence[Tensor]], shape: Sequence[int], device, dtype=torch.float32):
        """Features as a batch of stored samples brings them.

        Args:
            levels: Per level one map (C_l, h_l, w_l) per image, of images of one size.
            shape: (B, C, H, W) of the images.
            device: Where the batch goes.
            dtype: Of the batch.
        """
        stacked = (torch.stack(list(level)).to(device, dtype, non_blocking=True) for level in levels)
        return cls(Features(shared=tuple(stacked)), torch.Size(shape))

    @property
    def device(self) -> torch.device:
        return self.features.shared[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.features.shared[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key) -> 'EncodedImages':
        """Some of the images by a list of indices; or the whole, as ``[..., :H, :W]``.

        Raises:
            ValueError: A part of the pixels: features have none.
        """
        if isinstance(key, list):
            features = self.features.map(lambda levels: tuple(level[key] for level in levels))
            return EncodedImages(features, torch.Size((len(key), *self.shape[1:])))
        if key == (..., slice(None, self.shape[-2]), slice(None, self.shape[-1])):
            return self
        raise ValueError(
            f'A part {key} of images of {tuple(self.shape[-2:])} was asked for, but only features of the whole are '
            "there: the feature cache serves whole images of one size per batch, not test_cfg.mode='slide'."
        )
