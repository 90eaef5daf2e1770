"""Images per second of a model."""

import copy
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import nn

from mlore_mm.engine.feature_cache import unbind_feature_cache
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import bind_tasks
from mlore_mm.utils.half_precision import autocast_to, check_dtype


def images_per_second(
    model: nn.Module,
    batches: Iterable[dict],
    tasks: Sequence[str] | None = None,
    warmup: int = 5,
    dtype: str = 'fp32',
) -> float:
    """Speed of prediction, from preprocessed batch to predictions at the original size; loading is not counted.

    Args:
        model: In evaluation mode; in whatever form it is to be measured.
        batches: What a data loader yields, ``warmup`` batches more than are to be counted.
        tasks: Names of the tasks to predict.
        warmup: Batches that are not counted.
        dtype: 'fp32', 'bf16' or 'fp16'.

    Returns:
        Images over the sum of the times.

    Raises:
        ValueError: There are no batches beyond the warm-up.
    """
    device = next(model.parameters()).device
    check_dtype(dtype, device)
    seconds, images = [], []
    for batch in batches:
        data = model.data_preprocessor(batch, False)
        start = _now(device)
        with torch.no_grad(), autocast_to(dtype, device):
            model.predict(data['inputs'], data['data_samples'], tasks)
        seconds.append(_now(device) - start)
        images.append(len(data['inputs']))
    if len(seconds) <= warmup:
        raise ValueError(
            f'Speed is measured over the batches after the first {warmup}, but there are {len(seconds)}: '
            'raise --images, or give a data set with more images.'
        )
    return sum(images[warmup:]) / sum(seconds[warmup:])


def random_batches(size: tuple[int, int], count: int, batch_size: int = 1) -> Iterator[dict]:
    """Noise for pictures, of (H, W) = ``size``: speed does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        images = torch.randint(0, 256, (batch_size, 3, *size), dtype=torch.uint8, generator=generator)
        samples = [MultiTaskDataSample(metainfo=dict(ori_shape=size, img_shape=size)) for _ in range(batch_size)]
        yield dict(inputs=list(images), data_samples=samples)


def loader_batches(cfg: Config, count: int, batch_size: int = 1) -> Iterator[dict]:
    """The first ``count`` batches of the config's test data."""
    cfg = bind_tasks(copy.deepcopy(cfg))
    unbind_feature_cache(cfg)
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    cfg.test_dataloader.batch_size = batch_size
    for _, batch in zip(range(count), Runner.build_dataloader(cfg.test_dataloader), strict=False):
        yield batch


def summary(speeds: Sequence[float]) -> dict[str, float]:
    """Mean, median and variance of several measurements of images per second."""
    return dict(
        average_fps=round(statistics.fmean(speeds), 3),
        median_fps=round(statistics.median(speeds), 3),
        fps_variance=round(statistics.pvariance(speeds), 4),
    )


def _now(device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()
