"""Sliding-window inference for any number of tasks."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor


def slide_inference(
    predict: Callable[[Tensor], dict[str, Tensor]], images: Tensor, crop_size: Sequence[int], stride: Sequence[int]
) -> dict[str, Tensor]:
    """Average the logits of overlapping windows, as ``mode='slide'`` of mmsegmentation does.

    Args:
        predict: Windows (B, 3, h, w) to logits (B, C_t, h, w) per task.
        images: (B, 3, H, W).
        crop_size: (h, w) of a window; smaller images are one window.
        stride: (h, w) between windows.

    Returns:
        Logits (B, C_t, H, W) per task.
    """
    height, width = images.shape[-2:]
    totals: dict[str, Tensor] = {}
    counts = images.new_zeros(1, 1, height, width)
    for rows, columns in windows((height, width), crop_size, stride):
        for name, logits in predict(images[..., rows, columns]).items():
            if name not in totals:
                totals[name] = logits.new_zeros(*logits.shape[:2], height, width)
            totals[name][..., rows, columns] += logits
        counts[..., rows, columns] += 1
    return {name: total / counts for name, total in totals.items()}


def windows(size: Sequence[int], crop_size: Sequence[int], stride: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Row and column slices that cover the image; the last ones are moved back inside."""
    starts = []
    for length, crop, step in zip(size, crop_size, stride, strict=True):
        if not 0 < step <= crop:
            raise ValueError(f'Sliding windows need 0 < stride <= crop_size, but got {stride} and {crop_size}.')
        last = max(length - crop, 0)
        starts.append(sorted({*range(0, last, step), last}))
    for top in starts[0]:
        for left in starts[1]:
            yield slice(top, top + crop_size[0]), slice(left, left + crop_size[1])
