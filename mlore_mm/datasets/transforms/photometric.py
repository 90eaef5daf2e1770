"""Change brightness, contrast, saturation and hue."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mlore_mm.registry import TRANSFORMS

_LEVELS = np.arange(256)


@TRANSFORMS.register_module()
class PhotoMetricDistortion(BaseTransform):
    """Random brightness, contrast, saturation and hue, each with probability 0.5.

    It draws the same numbers and gives the same pixels as mmsegmentation's transform of this name; but every change is
    a function of one byte, so it is looked up in a table instead of being computed in float for every pixel.

    Args:
        brightness_delta: Largest change of brightness, of 255.
        contrast_range: Lowest and highest factor on all channels.
        saturation_range: Lowest and highest factor on the saturation.
        hue_delta: Largest change of hue, of 180.

    Raises:
        ValueError: An image of fewer than three channels, or whose colours are not within 0..255.
    """

    def __init__(
        self,
        brightness_delta: int = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: int = 18,
    ) -> None:
        self.brightness_delta, self.hue_delta = brightness_delta, hue_delta
        self.contrast_range, self.saturation_range = tuple(contrast_range), tuple(saturation_range)

    def transform(self, results: dict) -> dict:
        # Colours are the first three channels; what else an image has stays as it is.
        _check_colours(results)
        others = results['img'][..., 3:]
        image = np.ascontiguousarray(results['img'][..., :3]).astype(np.uint8, copy=False)
        if _coin():
            image = cv2.LUT(image, _linear(shift=_uniform(-self.brightness_delta, self.brightness_delta)))
        contrast_first = _coin()
        if contrast_first:
            image = self._contrast(image)
        if _coin():
            image = _change_hsv(image, 1, _linear(_uniform(*self.saturation_range)))
        if _coin():
            shift = np.random.randint(-self.hue_delta, self.hue_delta)  # noqa: NPY002
            image = _change_hsv(image, 0, ((_LEVELS + shift) % 180).astype(np.uint8))
        if not contrast_first:
            image = self._contrast(image)
        results['img'] = np.concatenate([image, others], -1) if others.size else image
        return results

    def _contrast(self, image: np.ndarray) -> np.ndarray:
        return cv2.LUT(image, _linear(_uniform(*self.contrast_range))) if _coin() else image


def _check_colours(results: dict) -> None:
    image = results['img']
    colours = image[..., :3]
    if image.ndim != 3 or image.shape[2] < 3:
        found = f'the shape {image.shape}'
    elif image.dtype != np.uint8 and colours.size and not (colours.min() >= 0 and colours.max() <= 255):
        found = f'{image.dtype} colours from {colours.min()} to {colours.max()}'
    else:
        return
    raise ValueError(
        f'PhotoMetricDistortion changes three colours of 0 to 255, but {results.get("img_path", "the image")} has '
        f'{found}. Take it out of the pipeline.'
    )


def _coin() -> bool:
    return bool(np.random.randint(2))  # noqa: NPY002  (mmengine seeds the global generator)


def _uniform(low: float, high: float) -> float:
    return np.random.uniform(low, high)  # noqa: NPY002


def _linear(factor: float = 1, shift: float = 0) -> np.ndarray:
    """(256,) uint8: level * factor + shift, cut to 0..255 and to whole numbers."""
    return np.clip(_LEVELS.astype(np.float32) * factor + shift, 0, 255).astype(np.uint8)


def _change_hsv(image: np.ndarray, channel: int, table: np.ndarray) -> np.ndarray:
    """Look one of hue (0) and saturation (1) up in ``table``."""
    identity = _LEVELS.astype(np.uint8)
    tables = np.stack([table if index == channel else identity for index in range(3)], axis=-1)[None]
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), tables)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
