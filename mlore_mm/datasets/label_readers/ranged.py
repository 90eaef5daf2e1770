"""Labels whose numbers are brought to a range that a network predicts well."""

from collections.abc import Sequence

import cv2
import numpy as np

from mlore_mm.datasets.label_readers.base import LabelReader, expect_map
from mlore_mm.datasets.label_readers.no_label import NumbersWithoutLabel
from mlore_mm.registry import LABEL_READERS
from mlore_mm.utils.png_files import read_png


@LABEL_READERS.register_module()
class RangeReader(LabelReader):
    """Grey values 0 to ``high`` as numbers -1 to 1, (H, W) float32.

    A file of several channels is read by its first, as grey maps saved in colour are.
    Source: edges, keypoints, reshading and segments of Taskonomy, as in Mod-Squad (Chen et al., CVPR 2023).

    Args:
        high: The grey value that becomes 1.
        clip: Larger values become 1 as well; otherwise they go beyond.
        blur: Deviation of a Gaussian that smooths the map, in pixels of the file; 0 for none.
        ignore: Grey values of pixels without a label.
    """

    def __init__(
        self, *args, high: float = 255, clip: bool = True, blur: float = 0, ignore: Sequence[int] = (), **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        if high <= 0 or blur < 0:
            raise ValueError(f'RangeReader needs high > 0 and blur >= 0, but got high={high} and blur={blur}.')
        self.high, self.clip, self.blur, self.no_label = high, clip, blur, NumbersWithoutLabel(ignore)

    def read(self, path: str) -> np.ndarray:
        codes = read_png(path, palette=False)
        codes = codes[..., 0] if codes.ndim == 3 else codes
        values = codes.astype(np.float32) / np.float32(self.high)
        if self.clip:
            values = np.minimum(values, 1)
        if self.blur:
            values = cv2.GaussianBlur(values, (0, 0), self.blur)
        return self.no_label.mark(expect_map(codes, path), 2 * values - 1)

    def code(self, value) -> str:
        return f'{(float(value) + 1) / 2 * self.high:.0f}'


@LABEL_READERS.register_module()
class ChannelsReader(LabelReader):
    """Channels of a PNG, each ``(value - mean) / std``, (H, W, C) float32.

    Source: principal curvatures of Taskonomy, as in Mod-Squad (Chen et al., CVPR 2023).

    Args:
        mean: One number per channel, of the first C channels in the order red, green, blue.
        std: The same.
    """

    def __init__(self, *args, mean: Sequence[float], std: Sequence[float], **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if len(mean) != len(std) or not mean or min(std) <= 0:
            raise ValueError(f'ChannelsReader needs a mean and a std > 0 per channel, but got {mean} and {std}.')
        self.mean, self.std = np.array(mean, dtype=np.float32), np.array(std, dtype=np.float32)

    def read(self, path: str) -> np.ndarray:
        pixels, wanted = read_png(path, palette=False), len(self.mean)
        if pixels.ndim != 3 or pixels.shape[2] < wanted:
            raise ValueError(f'{path} has shape {pixels.shape}, expected {wanted} channels at least, (H, W, C).')
        return (pixels[..., :wanted].astype(np.float32) - self.mean) / self.std

    def code(self, value) -> str:
        return str(tuple(round(float(x)) for x in np.asarray(value) * self.std + self.mean))
