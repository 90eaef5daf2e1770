"""One task of every registered kind, and labels for it; not a test by itself."""

import numpy as np
import torch

from mlore_mm.registry import TASKS
from mlore_mm.tasks import Task

CONFIGS = dict(
    SemSeg=dict(out_channels=5),
    HumanParts=dict(),
    Saliency=dict(),
    Edge=dict(),
    Depth=dict(),
    InverseDepth=dict(),
    LogDepth=dict(),
    SurfaceNormals=dict(),
    DenseRegression=dict(out_channels=2),
)
KINDS = list(CONFIGS)


def make(kind: str) -> Task:
    return TASKS.build(dict(type=kind, name=kind.lower(), **CONFIGS[kind]))


def make_label(task: Task, height=6, width=5, seed=0) -> np.ndarray:
    """A label as the pipeline carries it, (H, W) or (H, W, C), every pixel valid."""
    rng, size = np.random.default_rng(seed), (height, width)
    if task.dtype == 'uint8':
        return rng.integers(0, task.out_channels, size, dtype=np.uint8)
    if task.target_channels == 3:
        vectors = rng.normal(size=(*size, 3)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    shape = size if task.target_channels == 1 else (*size, task.target_channels)
    return rng.uniform(0.1, 1, shape).astype(np.float32)


def to_tensor(label: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, C) to (C, H, W)."""
    return torch.from_numpy(np.atleast_3d(label).transpose(2, 0, 1).copy())
