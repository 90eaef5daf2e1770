"""Pictures of a data set as the network sees it."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from PIL import Image

from mlore_mm.engine.feature_cache import unbind_feature_cache
from mlore_mm.registry import DATASETS
from mlore_mm.tasks import TaskSet, bind_tasks
from mlore_mm.utils.whole_files import write_picture
from mlore_mm.visualization import draw_overlays


def browse_dataset(
    cfg: Config,
    out_dir: str | Path,
    *,
    split: str = 'train',
    count: int = 20,
    tasks: list[str] | None = None,
    seed: int = 0,
    opacity: float = 0.6,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write a picture per sample: the image after the pipeline, and each task's label laid over it.

    In the pipeline of a test, labels keep the size of the original image; there the image is cut and resized to them.

    Args:
        cfg: A config as :func:`load_config` returns it.
        out_dir: Folder of the pictures.
        split: 'train', 'val' or 'test'.
        count: Number of samples, from the first one on.
        tasks: Draw these tasks only.
        seed: Of the augmentation.
        opacity: Of the labels, 0 to 1.
        on_progress: Called with the number of pictures done and of all.

    Returns:
        The files written.

    Raises:
        ValueError: The config has no such data set, or a sample cannot be read.
    """
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise ValueError(f'The config has no {split}_dataloader. Choose another split.')
    if not 0 <= opacity <= 1:
        raise ValueError(f'The opacity is from 0 to 1, but got {opacity}.')
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    cfg = copy.deepcopy(cfg)
    if tasks:
        cfg.task_names = list(tasks)
    cfg = bind_tasks(cfg)
    unbind_feature_cache(cfg)
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    task_set, files = TaskSet(dataset.metainfo['tasks']), []
    set_random_seed(seed)
    count = min(count, len(dataset))
    for index in range(count):
        data = dataset[index]
        sample = data['data_samples']
        image = _unpad(data['inputs'].numpy()[::-1].transpose(1, 2, 0), sample)
        files.append(Path(out_dir) / f'{index:04d}_{Path(sample.img_path).stem}.png')
        write_picture(files[-1], draw_overlays(image, task_set, sample.gt, opacity))
        on_progress(index + 1, count)
    return files


def _unpad(image: np.ndarray, sample) -> np.ndarray:
    """The image (H, W, 3) at the size of the labels."""
    height, width = sample.gt.shape[-2:]
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    left, right, top, bottom = sample.get('padding', (0, 0, 0, 0))
    image = np.ascontiguousarray(image[top : image.shape[0] - bottom, left : image.shape[1] - right])
    return np.asarray(Image.fromarray(image).resize((width, height)))
