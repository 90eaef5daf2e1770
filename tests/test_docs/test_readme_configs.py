"""The configs that README prints do what README says."""

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from mlore_mm.apis import load_config
from mlore_mm.datasets.checking_config import check_dataset, count_labels, open_datasets
from mlore_mm.registry import DATASETS
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO
from tests.test_docs.test_commands import blocks

README = REPO / 'README.md'


def config(start: str, root, folder):
    """The config that a block of README starts with this comment; its data is in ``root``."""
    (text,) = (block for _, block in blocks(README, 'python') if block.startswith(f'# configs/mine/{start}'))
    path = folder / 'mine.py'
    path.write_text(text.replace("'../mlore/", f"'{REPO.as_posix()}/configs/mlore/").replace('data/mine', str(root)))
    return load_config(str(path))


@pytest.fixture
def own_data(tmp_path):
    """Three classes and 255, depth in millimetres, photos of differing sizes; one photo has no depth."""
    rng = np.random.default_rng(0)
    for folder in ('photos', 'masks', 'depth'):
        (tmp_path / folder).mkdir()
    for name, size in (('a', (40, 70)), ('b', (90, 51)), ('c', (33, 33))):
        ids = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), size)
        cv2.imwrite(str(tmp_path / f'photos/{name}.jpg'), rng.integers(0, 255, (*size, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / f'masks/{name}.png'), ids)
        cv2.imwrite(str(tmp_path / f'depth/{name}.png'), rng.integers(0, 9000, size, dtype=np.uint16))
    (tmp_path / 'depth/b.png').unlink()
    (tmp_path / 'train.txt').write_text('a\nb\n')
    (tmp_path / 'val.txt').write_text('c\n')
    return tmp_path


def test_your_own_data(own_data, tmp_path):
    cfg = config('mlore_tiny_mine.py', own_data, tmp_path)
    for split, counts in dict(train=dict(semseg=2, depth=1), val=dict(semseg=1, depth=1)).items():
        (dataset,) = open_datasets(cfg, split)
        assert count_labels(dataset) == counts
        assert not any(check_dataset(dataset, 0))
    dataset = DATASETS.build(bind_tasks(cfg).train_dataloader.dataset)
    first, second = DataLoader(dataset, batch_size=None)
    assert set(first['data_samples'].gt.semseg.unique().tolist()) == {0, 1, 2, 255}
    assert first['data_samples'].gt.depth.max() > 0
    assert (second['data_samples'].gt.depth == 0).all()


def test_your_own_task(tmp_path):
    cfg = bind_tasks(config('mlore_tiny_shading.py', '', tmp_path))
    assert list(cfg.model.tasks)[-1] == 'shading'
    assert cfg.val_dataloader.dataset.labels.shading.dir == 'shading'


def test_your_own_backbone(tmp_path):
    cfg = bind_tasks(config('mlore_mit-b1_nyud.py', '', tmp_path))
    assert cfg.model.backbone.type == 'mmseg.MixVisionTransformer'
    assert 'depth' not in cfg.model.backbone
