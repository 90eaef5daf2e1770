"""The smallest MLoRE that has every part, as a config file and a checkpoint with random weights; and data for it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mlore_mm.apis import init_model
from mlore_mm.models.layers import PredictionHead
from tests.shared import REPO

SIZE = (32, 48)

CONFIG = """
_base_ = ['{repo}/configs/mlore/mlore_tiny_synthrooms_nyud.py']
data_root = '{data}'
crop_size = {size}
tasks = dict(
    _delete_=True,
    semseg=dict(type='SemSeg', out_channels=4, classes=('wall', 'floor', 'chair', 'lamp')),
    depth=dict(type='Depth'),
    normals=dict(type='SurfaceNormals'),
    sal=dict(type='Saliency'),
    edge=dict(type='Edge'),
)
test_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='CentrePad', size=crop_size),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    decode_head=dict(
        in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3], reference_level=1, embed_dims=8,
        ranks=[2, 4, 6], task_rank=2, top_k=2, grid=(4, 6)))
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
"""


TRAINING = """
train_pipeline = [
    dict(type='LoadMultiTaskImage'),
    dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomFlip'),
    dict(type='CentrePad', size=crop_size),
    dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs'),
]
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
train_cfg = dict(max_iters=4, val_interval=100)
default_hooks = dict(logger=dict(interval=2), checkpoint=dict(interval=100))
randomness = dict(seed=0)
"""

SINGLE_STAGE = "model['decode_head'].update(in_channels=[16], in_index=[1], reference_level=0)"


def write_tiny(folder: Path, data: str = 'data/none', more: str = '') -> tuple[str, str]:
    """Paths of the config, which ends with the lines ``more``, and the checkpoint."""
    config, checkpoint = folder / 'tiny.py', folder / 'tiny.pth'
    config.write_text(CONFIG.format(repo=REPO.as_posix(), data=data, size=SIZE) + more)
    torch.manual_seed(0)
    model = init_model(str(config))
    for module in model.modules():  # as after training: no batch norm is the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, PredictionHead):  # predictions that differ from pixel to pixel
            torch.nn.init.normal_(module.predict.weight, std=20)
    torch.save(dict(meta=dict(tasks=list(model.tasks)), state_dict=model.state_dict()), checkpoint)
    return str(config), str(checkpoint)


def write_rooms(root: Path, count: int = 3) -> str:
    """Noise in the layout of NYUDv2, with labels of four of the five tasks; the path of the folder."""
    generator = np.random.default_rng(0)
    for folder in ('images', 'segmentation', 'depth', 'normals', 'edge', 'gt_sets'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f'{i:03d}' for i in range(count)]
    for name in names:
        save_noise(root / 'images' / f'{name}.png', generator, 256, 3)
        save_noise(root / 'segmentation' / f'{name}.png', generator, 5)
        save_noise(root / 'normals' / f'{name}.png', generator, 256, 3)
        save_noise(root / 'edge' / f'{name}.png', generator, 2)
        np.save(root / 'depth' / f'{name}.npy', generator.uniform(0.5, 9, SIZE).astype(np.float32))
    for split in ('train', 'val'):
        (root / 'gt_sets' / f'{split}.txt').write_text('\n'.join(names) + '\n')
    return str(root)


def save_noise(path: Path, generator: np.random.Generator, high: int, channels: int = 1) -> None:
    shape = SIZE if channels == 1 else (*SIZE, channels)
    Image.fromarray(generator.integers(0, high, shape, dtype=np.uint8)).save(path)
