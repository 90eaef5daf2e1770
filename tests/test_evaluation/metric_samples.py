"""Samples of one task, and its metric over them."""

import torch
from mmengine.structures import PixelData

from mlore_mm.registry import METRICS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet

PARTS = TaskSet(dict(semseg=dict(type='SemSeg', out_channels=4)))
SALIENCY = TaskSet(dict(sal=dict(type='Saliency')))


def evaluate(tasks, samples, name, batch_size=2, **options):
    """The metric of one task over samples, fed in batches, as a dict without prefix."""
    metric = METRICS.build({**tasks[name].metric, 'task': name, **options})
    metric.dataset_meta = dict(tasks=tasks.to_config())
    plain = [sample.to_dict() if hasattr(sample, 'to_dict') else sample for sample in samples]
    for start in range(0, len(plain), batch_size):
        metric.process(None, plain[start : start + batch_size])
    assert len(metric.results) == len(samples)
    return {key.removeprefix(f'{name}/'): value for key, value in metric.evaluate(len(samples)).items()}


def sample_of(name, prediction, target):
    """A sample of one task, one pixel high, from lists (W,) or (C, W)."""
    maps = [torch.as_tensor(values, dtype=torch.float32) for values in (prediction, target)]
    maps = [values[None, None] if values.ndim == 1 else values[:, None] for values in maps]
    pred, gt = (PixelData(**{name: values}) for values in maps)
    return MultiTaskDataSample(pred=pred, gt=gt, metainfo=dict(img_path='some.jpg'))
