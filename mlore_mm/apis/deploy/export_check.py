"""Whether an exported file computes what the model computes, and how fast."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mlore_mm.apis.deploy.export import ExportModel
from mlore_mm.apis.inference.photos import read_photo
from mlore_mm.registry import DATASETS

TOLERANCE = 1e-3


@dataclass(frozen=True)
class ExportCheck:
    """The outcome of a comparison.

    Args:
        deviations: Largest absolute difference from PyTorch per task, over all inputs; for class ids the share of
            pixels that differ.
        seconds: Median time for one image in PyTorch.
        exported_seconds: The same for the exported file.
        images: Number of images compared.
        shapes: Shapes (B, 3, H, W) that were run.
    """

    deviations: dict[str, float]
    seconds: float
    exported_seconds: float
    images: int
    shapes: tuple

    @property
    def passed(self) -> bool:
        return max(self.deviations.values()) <= TOLERANCE


def check_export(
    path: str | Path, kind: str, model: nn.Module, metadata: dict, photos: Sequence, repeats: int = 3
) -> ExportCheck:
    """Compare an exported file with the model it was made of, on the CPU.

    The photos run one by one and two at a time, and where the size is open at another size as well.

    Args:
        path: The exported file.
        kind: Its format.
        model: The model, in whatever form it computes by itself.
        metadata: What :func:`export_model` returned.
        photos: Files or arrays, at least one.
        repeats: Runs that the times are medians of.

    Raises:
        ValueError: ONNX Runtime is not installed, or the file does not run.
    """
    names = [task['name'] for task in metadata['tasks']]
    reference = ExportModel(model.cpu().eval(), names, metadata['outputs'] == 'predictions').eval()
    run = load_exported(path, kind)
    height, width = metadata['input']['size']
    images = [letterbox(read_photo(photo), (height, width), metadata['input']['pad_value']) for photo in photos]
    batches = [*images, torch.cat([images[0], images[-1]])]
    if metadata['input']['dynamic_size']:
        other = (height + metadata['input']['divisor'], width + metadata['input']['divisor'])
        batches.append(letterbox(read_photo(photos[0]), other, metadata['input']['pad_value']))
    deviations = dict.fromkeys(names, 0.0)
    with torch.no_grad():
        for batch in batches:
            for name, ours, theirs in zip(names, reference(batch), _run(run, batch), strict=True):
                deviations[name] = max(deviations[name], _deviation(ours, theirs))
        seconds = _median_time(lambda: reference(images[0]), repeats)
        exported_seconds = _median_time(lambda: run(images[0]), repeats)
    shapes = tuple(dict.fromkeys(tuple(batch.shape) for batch in batches))
    return ExportCheck(deviations, seconds, exported_seconds, len(images), shapes)


def photos_of_test_set(cfg: Config, count: int) -> list[str]:
    """Paths of the first images of the test set.

    Raises:
        ValueError: The data set is not there.
    """
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    try:
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f'Photos to compare on are taken from the test set by default. {error}') from error
    return [dataset.get_data_info(i)['img_path'] for i in range(min(count, len(dataset)))]


def load_exported(path: str | Path, kind: str) -> Callable[[Tensor], list[Tensor]]:
    """An exported file as a function of (B, 3, H, W) images that returns a tensor per task.

    A file of PyTorch's two formats is code: whoever made it can run anything on this machine when it is loaded. Load
    none that you would not run as a program. ONNX files hold no code.

    Raises:
        ValueError: Naming the file: it cannot be loaded.
    """
    if kind in ('torchscript', 'torch_export'):
        try:
            if kind == 'torchscript':
                return torch.jit.load(str(path), map_location='cpu').eval()
            return torch.export.load(path).module()
        except Exception as error:  # a damaged file fails in many ways
            raise ValueError(f'{path} cannot be loaded as {kind}: {error}') from error
    if not find_spec('onnxruntime'):
        raise ValueError('Comparing an ONNX file needs ONNX Runtime: pip install onnxruntime')
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return lambda batch: [torch.from_numpy(x) for x in session.run(None, {name: batch.numpy()})]


def letterbox(image: np.ndarray, size: Sequence[int], pad_value: Sequence[float]) -> Tensor:
    """A photo (H, W, 3) uint8 BGR as the exported model takes it, (1, 3, *size) RGB: reduced to fit, then centred."""
    height, width = size
    scale = min(1.0, height / image.shape[0], width / image.shape[1])
    if scale < 1:
        small = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = pad_value
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image[..., ::-1]
    return torch.from_numpy(canvas).permute(2, 0, 1)[None].contiguous()


def _run(run: Callable, batch: Tensor) -> Sequence[Tensor]:
    try:
        return run(batch)
    except Exception as error:  # each runtime has its own
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f'The exported file does not run on {tuple(batch.shape)}: {reason}') from error


def _deviation(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise ValueError(f'The exported file returned {tuple(theirs.shape)} where the model gives {tuple(ours.shape)}.')
    if not ours.is_floating_point():
        return float((ours != theirs).float().mean())
    difference = (ours.double() - theirs.double()).abs().max()
    return float('inf') if difference.isnan() else float(difference)


def _median_time(call: Callable[[], object], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
