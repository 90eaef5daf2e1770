"""Sliding-window inference for any number of tasks."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor


def slide_inference(
    predict: Callable[[Tensor], dict[str, Tensor]],
    images: Tensor,
    crop_size: Sequence[int],
    stride: Sequence[int],
    at_once: int = 1,
) -> dict[str, Tensor]:
    """Average the logits of overlapping windows, as ``mode='slide'`` of mmsegmentation does.

    Args:
        predict: Windows (B, 3, h, w) to logits (B, C_t, h, w) per task.
        images: (B, 3, H, W).
        crop_size: (h, w) of a window; smaller images are one window.
        stride: (h, w) between windows.
        at_once: Windows of an image that are one batch.

    Returns:
        Logits (B, C_t, H, W) per task.
    """
    height, width = images.shape[-2:]
    totals: dict[str, Tensor] = {}
    counts = images.new_zeros(1, 1, height, width)
    places = list(windows((height, width), crop_size, stride))
    for start in range(0, len(places), at_once):
        part = places[start : start + at_once]
        batch = torch.cat([images[..., rows, columns] for rows, columns in part])
        for name, logits in predict(batch).items():
            if name not in totals:
                totals[name] = logits.new_zeros(len(images), logits.shape[1], height, width)
            for (rows, columns), window in zip(part, logits.split(len(images)), strict=True):
                totals[name][..., rows, columns] += window
        for rows, columns in part:
            counts[..., rows, columns] += 1
    return {name: total / counts for name, total in totals.items()}


def windows(size: Sequence[int], crop_size: Sequence[int], stride: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Row and column slices that cover the image; the last ones are moved back inside."""
    check_windows(crop_size, stride)
    starts = []
    for length, crop, step in zip(size, crop_size, stride, strict=True):
        last = max(length - crop, 0)
        starts.append(sorted({*range(0, last, step), last}))
    for top in starts[0]:
        for left in starts[1]:
            yield slice(top, top + crop_size[0]), slice(left, left + crop_size[1])


def check_windows(crop_size: Sequence[int] | None, stride: Sequence[int] | None) -> None:
    """
    Raises:
        ValueError: One of them is missing or no pair of numbers, or the windows leave gaps.
    """
    pairs = [x for x in (crop_size, stride) if isinstance(x, Sequence) and not isinstance(x, str) and len(x) == 2]
    if len(pairs) < 2:
        raise ValueError(
            f"test_cfg.mode='slide' needs crop_size=(h, w) and stride=(h, w), but got {crop_size} and {stride}."
        )
    if not all(0 < step <= crop for crop, step in zip(crop_size, stride, strict=True)):
        raise ValueError(f'Sliding windows need 0 < stride <= crop_size, but got {stride} and {crop_size}.')
