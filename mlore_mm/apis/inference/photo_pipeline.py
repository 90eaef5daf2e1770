"""From a photo to the network's input, by the test pipeline of the config."""

import copy
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from mmcv.transforms import Compose, LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mlore_mm.datasets.transforms import LoadMultiTaskImage, LoadMultiTaskLabels, MarkIgnore, MultiTaskCentreCrop
from mlore_mm.registry import TRANSFORMS
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.config_variables import resolve_variables

# Steps that read files or labels, and the one that says where a benchmark scores; a photo comes as an array, has no
# labels, and is wanted whole.
_LEFT_OUT = (
    LoadMultiTaskImage,
    LoadImageFromFile,
    LoadMultiTaskLabels,
    LoadAnnotations,
    MarkIgnore,
    MultiTaskCentreCrop,
)
_MAX_ASPECT = 200


class PhotoPipeline:
    """The test pipeline of a config, for photos of any size.

    A photo whose longer side exceeds ``max_size`` is reduced; predictions come back at the size of the photo. Metric
    depth follows from the size of things in pixels, so it is right for cameras with about the field of view of the
    training data, whose pictures fit the training size. A photo that is taken in at s times that size gets its depth
    multiplied by s; one that is smaller is taken for a cut-out of a training image.

    Args:
        cfg: The model's config.
        tasks: The model's tasks.
        max_size: Longest side in pixels; 'train' for the size that the test pipeline pads to, or where it has none,
            that the training pipeline crops to; None for no limit, which takes much memory for large photos.

    Raises:
        ValueError: ``max_size`` is neither 'train', None nor a positive number.
    """

    def __init__(self, cfg: Config, tasks: TaskSet, max_size: int | str | None = 'train') -> None:
        if not (max_size in ('train', None) or (isinstance(max_size, int) and max_size > 0)):
            raise ValueError(f"max_size is 'train', None or a number of pixels, but got {max_size!r}.")
        steps = [step for step in test_pipeline(cfg) if not issubclass(_class_of(step), _LEFT_OUT)]
        sizes = [step['size'] for step in steps if step.get('size')]
        self.tasks = tasks
        self.train_size = tuple(sizes[0]) if sizes else training_size(cfg)
        self.max_side = max(self.train_size) if max_size == 'train' and self.train_size else max_size
        self.max_side = None if self.max_side == 'train' else self.max_side
        init_default_scope(cfg.get('default_scope', 'mlore_mm'))
        self.transform = Compose([TRANSFORMS.build(step) for step in steps])

    def __call__(self, image: np.ndarray, name: str = '') -> dict:
        """An image (H, W, 3), uint8 BGR, to ``dict(inputs=..., data_samples=...)``."""
        height, width = size = image.shape[:2]
        if max(size) > _MAX_ASPECT * min(size):
            raise ValueError(f'{name} is {height}x{width} (HxW), too narrow for a photo.')
        results = dict(img_path=name, sample_id=name, ori_shape=size, tasks=self.tasks)
        scale = min(1.0, self.max_side / max(size)) if self.max_side else 1.0
        if scale < 1:
            small = (max(round(width * scale), 1), max(round(height * scale), 1))
            image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        if self.train_size:
            factor = scale / min(1.0, max(self.train_size) / max(size))
            results['scale_factor'] = (factor, factor)
        results.update(img=image, img_shape=image.shape[:2])
        packed = self.transform(results)
        packed['data_samples'].set_metainfo(dict(ori_shape=size))  # also where a benchmark scores at another size
        return packed


def _class_of(step: Mapping) -> type:
    """The class of a step, whatever its config calls it ('MarkIgnore', 'mlore_mm.MarkIgnore', the class itself)."""
    cls = TRANSFORMS.get(step['type']) if isinstance(step['type'], str) else step['type']
    if not isinstance(cls, type):
        raise ValueError(f'The test pipeline has a step of type {step["type"]!r}, which is no known transform.')
    return cls


def test_pipeline(cfg: Config) -> list[dict]:
    """The steps of the test data set, through wrappers around it; packing alone where the config has none."""
    return _steps(cfg.get('test_dataloader') or cfg.get('val_dataloader')) or [dict(type='PackMultiTaskInputs')]


def training_size(cfg: Config) -> tuple[int, int] | None:
    """(H, W) that the network is trained at: what the training pipeline pads or crops to last."""
    cfg = copy.deepcopy(cfg)
    resolve_variables(cfg)
    sizes = [step.get('size') or step.get('crop_size') for step in _steps(cfg.get('train_dataloader'))]
    sizes = [size for size in sizes if isinstance(size, Sequence) and len(size) == 2]
    return tuple(sizes[-1]) if sizes else None


def image_size(cfg: Config, default: tuple[int, int] = (512, 512)) -> tuple[int, int]:
    """(H, W) that a model is measured at: what its encoder is made for, else the size of training.

    Args:
        cfg: A config as it was read, or a bound one; it is not changed.
        default: Where the config says nothing.
    """
    cfg = copy.deepcopy(cfg)
    resolve_variables(cfg)
    size = cfg.model.backbone.get('img_size') or training_size(cfg) or cfg.get('crop_size') or default
    return (size, size) if isinstance(size, int) else tuple(size)


def _steps(loader: Mapping | None) -> list[dict]:
    dataset: Mapping = (loader or {}).get('dataset') or {}
    while dataset.get('dataset') or dataset.get('datasets'):
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return [dict(step) for step in dataset.get('pipeline') or []]
