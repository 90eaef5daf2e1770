"""The last steps: say which pixels do not count, and make tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from torch import Tensor

from mlore_mm.registry import TRANSFORMS
from mlore_mm.structures import MultiTaskDataSample

META_KEYS = (
    *('img_path', 'sample_id', 'label_paths', 'ori_shape', 'img_shape', 'padding', 'scale_factor'),
    *('flip', 'flip_direction', 'intrinsics'),
)


@TRANSFORMS.register_module()
class MarkIgnore(BaseTransform):
    """Let each task write its ignore value where its label says nothing: zero-length normals, images without people.

    It comes after padding, because padding writes values that this step marks.
    """

    def transform(self, results: dict) -> dict:
        for name, target in results.get('targets', {}).items():
            results['targets'][name] = results['tasks'][name].mask_values(target)
        return results


@TRANSFORMS.register_module()
class PackMultiTaskInputs(BaseTransform):
    """Make the tensors: ``inputs`` (3, H, W) BGR in 0..255, and ``data_samples`` with ``gt`` (C, H, W) per task.

    Args:
        meta_keys: What else of the results goes into the data sample, where it is there.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        sample = MultiTaskDataSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if 'targets' in results:
            tasks = results['tasks']
            fields = {name: _to_tensor(array, tasks[name].dtype) for name, array in results['targets'].items()}
            sample.gt = PixelData(**fields)
        return dict(inputs=_to_tensor(results['img']), data_samples=sample)


def _to_tensor(array: np.ndarray, dtype: str | None = None) -> Tensor:
    """(H, W) or (H, W, C) to a contiguous (C, H, W) tensor, by one copy at most."""
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(array, dtype=dtype or array.dtype))
