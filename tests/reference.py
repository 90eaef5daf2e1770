"""Reference logits and labels with what the published losses and metrics give for them."""

import json
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from torch import Tensor

from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.shared import REPO, shared_path

COMPACT = REPO / 'tests' / 'data' / 'metrics'
STEP = dict(sal=0.1, edge=0.1, depth=0.02)  # see tests/data/metrics/make.py


@dataclass
class Reference:
    tasks: TaskSet
    logits: dict[str, Tensor]
    targets: dict[str, Tensor]
    metrics: dict[str, dict]
    losses: dict[str, dict]

    def samples(self, indices=None) -> list[MultiTaskDataSample]:
        """Data samples as the model returns them, labels in the storage type of the pipeline."""
        first = next(iter(self.logits.values()))
        return [self._sample(i) for i in (range(len(first)) if indices is None else indices)]

    def _sample(self, index: int) -> MultiTaskDataSample:
        gt, pred = {}, {}
        for name, task in self.tasks.items():
            gt[name] = self.targets[name][index].to(getattr(torch, task.dtype))
            pred[name] = task.decode(self.logits[name][index])
        return MultiTaskDataSample(gt=PixelData(**gt), pred=PixelData(**pred), metainfo=dict(img_path=f'{index}.jpg'))


def full_reference(name: str) -> Reference:
    """'pascal' or 'nyud' from the shared reference data, or a skip."""
    folder = shared_path('golden/metrics')
    stored = torch.load(folder / f'{name}_logits_targets.pth', weights_only=True)
    expected = json.loads((folder / f'{name}_expected.json').read_text())
    classes = stored['logits']['semseg'].shape[1]
    tasks = _tasks(stored['logits'], classes, expected['edge_pos_weight'])
    return Reference(tasks, stored['logits'], stored['targets'], expected['metrics'], expected['losses'])


def compact_reference(task: str) -> Reference:
    """Rounded logits of one task ('human_parts', 'sal', 'edge' or 'depth'), which lie in the repository."""
    expected = json.loads((COMPACT / 'compact.json').read_text())[task]
    with np.load(COMPACT / 'compact.npz') as stored:
        logits, target = (torch.from_numpy(stored[f'{task}_{part}'].astype(np.int64)) for part in ('logits', 'target'))
    if task == 'human_parts':
        logits = F.one_hot(logits[:, 0], 7).permute(0, 3, 1, 2).float()
    elif task == 'sal':
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1) * STEP[task]
    else:
        logits = logits * STEP[task]
    target = target / 1000 if task == 'depth' else target.float()
    numbers = ({task: expected[key]} for key in ('metric', 'loss'))
    return Reference(_tasks([task], 40, 0.88), {task: logits}, {task: target}, *numbers)


def _tasks(names, classes: int, pos_weight: float) -> TaskSet:
    kinds = dict(
        semseg=dict(type='SemSeg', out_channels=classes),
        human_parts=dict(type='HumanParts'),
        sal=dict(type='Saliency'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(
            type='Edge',
            loss=dict(type='BalancedBCELoss', pos_weight=pos_weight),
            metric=dict(type='BoundaryLossMetric', pos_weight=pos_weight),
        ),
        depth=dict(type='Depth'),
    )
    return TaskSet({name: kind for name, kind in kinds.items() if name in names})
