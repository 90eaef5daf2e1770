"""A tiny data set, model and evaluator to run loops and command lines with; configs import it by ``custom_imports``."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dist import broadcast_object_list, collect_results
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from mlore_mm.registry import DATASETS, EVALUATOR, MODELS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.shared import REPO

SIZE = (12, 16)


def write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(generator.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(folder / f'{i:03d}.png')


CONFIG = """
_base_ = ['{repo}/configs/_base_/schedules/adam_40k.py', '{repo}/configs/_base_/default_runtime.py']
custom_imports = dict(imports=['mlore_mm', 'tests.toy'], allow_failed_imports=False)
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=2, classes=('dark', 'red')),
    depth=dict(type='Depth'),
    normals=dict(type='SurfaceNormals'),
)
model = dict(type='ToyModel')
dataset = dict(type='ToyDataset', data_root='{images}')
train_dataloader = dict(batch_size=2, sampler=dict(type='ResumableSampler', shuffle=True), dataset=dataset)
val_dataloader = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = dict(type='ToyEvaluator', metrics=[])
test_evaluator = val_evaluator
train_cfg = dict(max_iters=4, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2))
randomness = dict(seed=0)
"""


def write_config(folder: Path, images: int = 3, more: str = '') -> str:
    """A config that trains the toy model for four steps on random images; its path."""
    write_images(folder / 'images', images)
    path = folder / 'toy.py'
    path.write_text(CONFIG.format(repo=REPO.as_posix(), images=(folder / 'images').as_posix()) + more)
    return str(path)


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Every PNG of a folder; the label of each task is the image's red channel in 0..1, its first channel at least."""

    def __init__(self, data_root: str, metainfo: dict) -> None:
        self.files = sorted(Path(data_root).glob('*.png'))
        self.metainfo = ConfigDict(metainfo).to_dict()  # plain, as checkpoints are read with weights_only=True

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict:
        image = torch.from_numpy(np.array(Image.open(self.files[index]))).permute(2, 0, 1)
        sample = MultiTaskDataSample(metainfo=dict(img_path=str(self.files[index]), sample_id=self.files[index].stem))
        sample.gt = PixelData()
        red = image[:1] / 255
        for name, task in TaskSet(self.metainfo['tasks']).items():
            values = (red > 0.5).to(torch.uint8) if task.classes or task.out_channels == 2 else red
            sample.gt.set_field(values.repeat(task.target_channels, 1, 1), name)
        return dict(inputs=image, data_samples=sample)


@MODELS.register_module()
class ToyModel(BaseModel):
    """A 1x1 convolution per task."""

    def __init__(self, tasks: dict, aux_tasks=(), test_cfg=None, data_preprocessor=None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.tasks = TaskSet(tasks)
        self.predicted = (test_cfg or {}).get('tasks') or self.tasks.names
        self.norm = nn.BatchNorm2d(3)
        self.heads = nn.ModuleDict({name: nn.Conv2d(3, task.out_channels, 1) for name, task in self.tasks.items()})

    def forward(self, inputs, data_samples=None, mode='tensor'):
        images = torch.stack(list(inputs)).float() / 255
        logits = {name: head(self.norm(images)) for name, head in self.heads.items()}
        if mode == 'loss':
            return {
                f'loss_{name}': task.loss_weight * self._loss(logits[name], name, data_samples)
                for name, task in self.tasks.items()
            }
        for i, sample in enumerate(data_samples):
            sample.pred = PixelData()
            for name in self.predicted:
                sample.pred.set_field(self.tasks[name].decode(logits[name][i]), name)
        return data_samples

    def _loss(self, logits, name, data_samples):
        target = torch.stack([sample.gt.get(name) for sample in data_samples]).float()
        return (logits.mean(dim=1) - target.mean(dim=1)).square().mean()


@EVALUATOR.register_module()
class ToyEvaluator(Evaluator):
    """The mean absolute difference of each predicted task, reported as its headline."""

    def __init__(self, metrics=()) -> None:
        super().__init__([])
        self.rows = []

    def process(self, data_samples, data_batch=None) -> None:
        for sample in data_samples:
            names = [name for name in self.dataset_meta['tasks'] if name in sample.pred]
            self.rows.append(
                {n: float((sample.pred.get(n).float() - sample.gt.get(n).float()).abs().mean()) for n in names}
            )

    def evaluate(self, size: int) -> dict:
        rows, self.rows = collect_results(self.rows, size, 'cpu'), []
        means = {name: sum(row[name] for row in rows) / size for name in rows[0]} if rows else {}
        means = broadcast_object(means)
        tasks = TaskSet(self.dataset_meta['tasks'])
        return {f'{name}/{tasks[name].headline}': value for name, value in means.items()}


def broadcast_object(value):
    """The main process's value on every process."""
    values = [value]
    broadcast_object_list(values)
    return values[0]
