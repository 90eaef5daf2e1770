"""Batches on the device: channel order, normalisation, padding to one size."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mlore_mm.models.encoded_images import EncodedImages
from mlore_mm.registry import MODELS
from mlore_mm.utils.time_budget import spent


@MODELS.register_module()
class MultiTaskDataPreprocessor(BaseDataPreprocessor):
    """Stacks images, uint8 or float, to a normalised float batch (B, C, H, W), C being 3 for photos.

    Images travel as bytes and are normalised on the device. Pixels that the pipeline padded (``padding`` of the data
    sample) are 0 after normalisation, as in the published pipeline. Images of a batch that differ in size are padded
    at the right and bottom, and their ``padding`` grows accordingly; labels are padded by the segmentor, which knows
    each task's ignore value. ``own_shape`` of the data sample says how large the image would be alone: predictions are
    made at that size (see :func:`size_groups`). In training the network sees the padding, which is logged once.

    Args:
        mean: Per channel of the network's input (RGB after ``bgr_to_rgb``, then what else there is), 0-255.
        std: Likewise.
        bgr_to_rgb: The pipeline's images are BGR, as OpenCV reads them; further channels stay where they are.
        size_divisor: The batch's height and width are padded to multiples of it.
        non_blocking: Copy to the device without waiting.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = True,
        size_divisor: int = 1,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        if len(mean) != len(std) or not len(mean):
            raise ValueError(f'mean and std need one number per channel, but got {mean} and {std}.')
        if min(std) <= 0 or size_divisor < 1:
            raise ValueError(
                f'std and size_divisor have to be above 0, but got std={std}, size_divisor={size_divisor}.'
            )
        self.bgr_to_rgb, self.size_divisor = bgr_to_rgb, size_divisor
        self._said_padding = False
        self.register_buffer('mean', torch.tensor(mean).float().view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).float().view(-1, 1, 1), persistent=False)

    @spent('prepare')
    def forward(self, data: dict, training: bool = False) -> dict:
        """``dict(inputs=list or batch of (3, H, W), data_samples=...)`` to the same with a batch of float images.

        With ``features`` (per level, per image) the images are placeholders, and the batch is :class:`EncodedImages`.
        """
        data = self.cast_data(data)
        images, samples = list(data['inputs']), data.get('data_samples')
        own = [tuple(_round_up(side, self.size_divisor) for side in x.shape[-2:]) for x in images]
        height, width = (max(sides) for sides in zip(*own, strict=True))
        if training and len(set(own)) > 1:
            self._say_that_training_sees_padding(height, width)
        stored, batch = data.get('features'), []
        for i, image in enumerate(images):
            image = self._normalise(image) if stored is None else image
            extra_w, extra_h = width - image.shape[-1], height - image.shape[-2]
            if samples is not None:
                left, right, top, bottom = samples[i].get('padding', (0, 0, 0, 0))
                image = _zero_border(image, left, right, top, bottom) if stored is None else image
                padding = (left, right + extra_w, top, bottom + extra_h)
                samples[i].set_metainfo(dict(padding=padding, batch_input_shape=(height, width), own_shape=own[i]))
            if stored is None:
                batch.append(F.pad(image, (0, extra_w, 0, extra_h)) if extra_w or extra_h else image)
        inputs = torch.stack(batch) if stored is None else self._encoded(stored, own, len(images[0]))
        return dict(inputs=inputs, data_samples=samples)

    def _encoded(self, levels: Sequence, own: list, channels: int) -> EncodedImages:
        if len(set(own)) > 1:
            raise ValueError(
                f'A batch of stored features has images of {sorted(set(own))}, but each was encoded at its own size: '
                'give them one size in the pipeline (CentrePad, crop), or take batch_size=1 in validation.'
            )
        return EncodedImages.stack(levels, (len(own), channels, *own[0]), self.mean.device)

    def _say_that_training_sees_padding(self, height: int, width: int) -> None:
        if self._said_padding:
            return
        self._said_padding = True
        print_log(
            f'Images of a training batch differ in size: they are padded with zeros at the right and bottom, here to '
            f'{height}x{width} (HxW), which routers and norms see. RandomCrop or CentrePad with a size in '
            f'train_pipeline gives them one size. Predictions are made without such padding.',
            logger='current',
        )

    def _normalise(self, image: Tensor) -> Tensor:
        if len(image) != len(self.mean):
            raise ValueError(
                f'An image has {len(image)} channels, but mean and std of the data preprocessor have {len(self.mean)} '
                f'numbers. Set `channels` of LoadMultiTaskImage, `mean`, `std` and `in_channels` of the encoder alike.'
            )
        if self.bgr_to_rgb and len(image) >= 3:
            image = torch.cat([image[:3].flip(0), image[3:]]) if len(image) > 3 else image.flip(0)
        return (image.float() - self.mean) / self.std


def _zero_border(image: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Zeros in the border of a freshly normalised image, in place."""
    h, w = image.shape[-2:]
    image[:, :top] = 0
    image[:, h - bottom :] = 0
    image[:, :, :left] = 0
    image[:, :, w - right :] = 0
    return image


def _round_up(value: int, divisor: int) -> int:
    return math.ceil(value / divisor) * divisor
