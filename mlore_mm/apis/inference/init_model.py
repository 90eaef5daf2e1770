"""``init_model`` and ``inference_model``, as in ``mmseg.apis``, for all tasks."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import nn

from mlore_mm.apis.inference.photo_pipeline import PhotoPipeline
from mlore_mm.apis.inference.photos import read_input
from mlore_mm.apis.training.config import load_config
from mlore_mm.apis.training.overrides import apply_overrides
from mlore_mm.engine.checkpoints import (
    TRAINING_ONLY,
    check_meta,
    fill_model,
    naming_checkpoint,
    put_back_frozen,
    read_checkpoint,
)
from mlore_mm.engine.feature_cache import unbind_feature_cache
from mlore_mm.engine.hooks import TaskOrderHook
from mlore_mm.registry import MODELS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import bind_tasks
from mlore_mm.utils.half_precision import autocast_to


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str = 'cpu',
    cfg_options: dict | None = None,
) -> nn.Module:
    """A model in evaluation mode, ready for :func:`inference_model`.

    Args:
        config: Path of a config file, or a config (which is not modified).
        checkpoint: File or URL of the weights. Without one the model has its initial weights, which is useful for
            measuring time and memory only.
        device: As PyTorch names it, such as 'cpu' or 'cuda:0'.
        cfg_options: Overrides by dotted key.

    Returns:
        The model, with the bound config as ``cfg`` and the task definitions in ``dataset_meta``.

    Raises:
        ValueError: A mistake in the config; a checkpoint that is not there, is not safe to read (see
            :func:`read_checkpoint`), was trained on other tasks or in another order, or does not fill the model.
    """
    if isinstance(config, Config):
        cfg = copy.deepcopy(config)
        apply_overrides(cfg, cfg_options or {})
    else:
        cfg = load_config(str(config), cfg_options=cfg_options)
    cfg = bind_tasks(cfg)
    unbind_feature_cache(cfg)
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    model = MODELS.build(cfg.model)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    model.cfg = cfg
    model.dataset_meta = dict(tasks=model.tasks.to_config())
    if not str(device).startswith('cuda'):
        model = revert_sync_batchnorm(model)
    return model.to(device).eval()


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a model; all weights have to be there.

    Raises:
        ValueError: See :func:`init_model`.
    """
    checkpoint = read_checkpoint(path)
    check_meta(checkpoint, str(path))
    with naming_checkpoint(path):
        TaskOrderHook(model.tasks).after_load_checkpoint(None, checkpoint)
    put_back_frozen(checkpoint, model, str(path))
    fill_model(model, checkpoint['state_dict'], str(path), TRAINING_ONLY)


Picture = str | Path | np.ndarray


def inference_model(
    model: nn.Module, img: Picture | Sequence[Picture], tasks: Sequence[str] | None = None
) -> MultiTaskDataSample | list[MultiTaskDataSample]:
    """Predict on one picture or several.

    Args:
        model: What :func:`init_model` returned.
        img: What :func:`read_photo` takes, or a list of such. Arrays are BGR, as OpenCV reads them.
        tasks: Compute these tasks only.

    Returns:
        A data sample with ``pred`` at the size of the picture, a tensor (C, H, W) per task; a list for a list.
    """
    pictures = img if isinstance(img, (list, tuple)) else [img]
    pipeline = PhotoPipeline(model.cfg, model.tasks)
    channels = len(model.data_preprocessor.mean)
    packed = (pipeline(read_input(x, channels=channels), _name(x, i)) for i, x in enumerate(pictures))
    samples = [sample for batch in same_size_batches(packed, 4) for sample in predict_batch(model, batch, tasks)]
    return samples if isinstance(img, (list, tuple)) else samples[0]


def _name(picture: Picture, index: int) -> str:
    return str(picture) if isinstance(picture, (str, Path)) else f'{index:06d}'


def same_size_batches(items: Iterable[dict], batch_size: int) -> Iterator[list[dict]]:
    """Neighbours whose ``inputs`` have one size, ``batch_size`` at most: images of a batch then need no padding.

    So a prediction does not depend on what else is in the batch.
    """
    batch: list[dict] = []
    for item in items:
        if batch and (len(batch) == batch_size or item['inputs'].shape != batch[0]['inputs'].shape):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


@torch.no_grad()
def predict_batch(
    model: nn.Module, packed: Sequence[dict], tasks: Sequence[str] | None = None, dtype: str = 'fp32'
) -> list[MultiTaskDataSample]:
    """Predictions for what the pipeline packed; ``dtype`` is what the network computes in where that is safe."""
    data = dict(inputs=[x['inputs'] for x in packed], data_samples=[x['data_samples'] for x in packed])
    data = model.data_preprocessor(data, False)
    with autocast_to(dtype, data['inputs'].device):
        return model.predict(data['inputs'], data['data_samples'], tasks)
