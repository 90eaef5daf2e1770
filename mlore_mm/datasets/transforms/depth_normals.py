"""Labels of surface normals from those of depth."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mlore_mm.registry import TRANSFORMS
from mlore_mm.utils.depth_normals import normals_from_depth, normals_valid


@TRANSFORMS.register_module()
class NormalsFromDepth(BaseTransform):
    """Write the label of ``normals`` from that of ``depth`` and the intrinsics; a zero vector where it is not known.

    It stands after everything that moves pixels, as normals of a small map come from the depth of the small map, and
    before ``MarkIgnore``. See :func:`mlore_mm.utils.depth_normals.normals_from_depth`.

    Args:
        depth: Name of the task whose label is metres, 0 without a reading.
        normals: Name of the task whose label is written; without that task nothing happens.

    Raises:
        ValueError: There is no label of depth, or no intrinsics.
    """

    def __init__(self, depth: str = 'depth', normals: str = 'normals') -> None:
        self.depth, self.normals = depth, normals

    def transform(self, results: dict) -> dict:
        targets = results.get('targets', {})
        if self.normals not in targets:
            return results
        path = results.get('img_path', 'an image')
        if self.depth not in targets:
            raise ValueError(
                f"NormalsFromDepth needs the label of the task '{self.depth}' of {path}, but there are labels of "
                f'{list(targets)}. Keep that task in `task_names`; it may be one of `aux_tasks`.'
            )
        depth = targets[self.depth]
        # Labels that are loaded after resizing have the size of the file.
        key = 'intrinsics' if depth.shape[:2] == tuple(results['img'].shape[:2]) else 'ori_intrinsics'
        if key not in results:
            raise ValueError(
                f'NormalsFromDepth needs the intrinsics of the camera of {path}, which the data set did not give. For '
                'Cityscapes extract camera_trainvaltest.zip beside leftImg8bit.'
            )
        targets[self.normals] = _normals(depth, results[key])
        return results


def _normals(depth: np.ndarray, intrinsics: tuple) -> np.ndarray:
    """(H, W) metres to (H, W, 3) float32."""
    metres = torch.from_numpy(np.ascontiguousarray(depth, dtype=np.float64))[None, None]
    normals = normals_from_depth(metres, torch.tensor([intrinsics], dtype=torch.float64))
    normals = torch.where(normals_valid(metres > 0), normals, 0)
    return normals[0].permute(1, 2, 0).float().contiguous().numpy()
