"""Taskonomy in its layout: small files whose values are known."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from numpy.testing import assert_allclose

from mlore_mm.datasets import TaskonomyDataset
from mlore_mm.datasets.checking_config import check_dataset, open_datasets, open_datasets_one_by_one
from mlore_mm.datasets.taskonomy import DOMAINS
from mlore_mm.registry import DATASETS
from mlore_mm.tasks import TaskSet, bind_tasks
from tests.shared import REPO

CONFIG = REPO / 'configs/_base_/datasets/taskonomy.py'
SIZE = 64
BUILDINGS = ('allen', 'beech', 'corozal', 'ihlen')
TABLE = 'id,train,val,test\nallen,1,0,0\nbeech,1,0,0\ncorozal,0,1,0\nihlen,0,0,1\n'


def files() -> dict[str, np.ndarray]:
    """Domain to what its files hold; RGB where in colour."""
    rng = np.random.default_rng(0)
    ramp = np.tile(np.arange(SIZE, dtype=np.uint16) * 1024, (SIZE, 1))  # 0 to 126 m
    depth = ramp.copy()
    depth[:2] = 65535  # no reading
    normals = np.full((SIZE, SIZE, 3), (255, 128, 128), dtype=np.uint8)  # to the right
    normals[:2] = 128
    curvature = np.dstack([np.full((SIZE, SIZE), x, dtype=np.uint8) for x in (124, 120, 0)])
    grey = np.full((SIZE, SIZE), 255, dtype=np.uint8)
    grey[:, : SIZE // 2] = 51
    return dict(
        rgb=rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        depth_euclidean=depth,
        depth_zbuffer=depth,
        normal=normals,
        principal_curvature=curvature,
        edge_occlusion=np.full((SIZE, SIZE), 1024, dtype=np.uint16),
        edge_texture=ramp,
        keypoints2d=ramp,
        keypoints3d=ramp,
        reshading=np.dstack([grey] * 3),
        segment_unsup2d=grey,
        segment_unsup25d=grey,
    )


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'train_val_test_tiny.csv').write_text(TABLE)
    for domain, array in files().items():
        for building in BUILDINGS:
            for point in ('point_0_view_0', 'point_1_view_2'):
                path = tmp_path / domain / building / f'{point}_domain_{domain}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)
    return tmp_path


def config(root, resized=SIZE, crop=48):
    init_default_scope('mlore_mm')
    cfg = Config.fromfile(CONFIG)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.update(data_root=str(root), split_file='train_val_test_tiny.csv')
        for step in loader.dataset.pipeline:
            sizes = dict(MultiTaskResize=dict(size=(resized, resized)))
            crops = dict.fromkeys(('MultiTaskRandomCrop', 'MultiTaskCentreCrop'), dict(crop_size=(crop, crop)))
            step.update({**sizes, **crops, 'MultiTaskRandomFlip': dict(prob=0.0)}.get(step.type, {}))
    return bind_tasks(cfg)


def test_buildings_belong_to_splits(root):
    cfg = config(root)
    ids = {}
    for split in ('train', 'val'):
        (dataset,) = open_datasets(cfg, split)
        ids[split] = [dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))]
        assert [problems for problems in check_dataset(dataset, 0) if problems] == []
    points = ('point_0_view_0', 'point_1_view_2')
    assert ids['train'] == [f'{building}/{point}' for building in ('allen', 'beech') for point in points]
    assert ids['val'] == [f'corozal/{point}' for point in points]


def test_every_label_in_its_encoding(root):
    dataset = DATASETS.build(config(root, crop=SIZE).val_dataloader.dataset)
    sample = dataset[0]['data_samples'].gt
    columns = np.arange(SIZE) * 1024

    def row(name, channel=0):
        return sample.get(name)[channel, 10].numpy()

    assert_allclose(row('depth_zbuffer'), columns / 512, rtol=1e-6)
    assert (sample.depth_euclidean[0, :2] == 0).all()
    assert_allclose(sample.normal[:, 10, 10].numpy(), (1, 0.0039, 0.0039), atol=1e-3)
    assert (sample.normal[:, 0] == 255).all()
    assert_allclose(row('principal_curvature'), (124 - 123.572) / 31.922, rtol=1e-4)
    assert_allclose(row('principal_curvature', 1), (120 - 120.1) / 21.658, rtol=1e-4)
    assert_allclose(row('edge_occlusion'), 2 * 1024 / (0.00625 * 2**16) - 1, rtol=1e-5)  # beyond 1
    assert_allclose(row('edge_texture'), np.minimum(columns / (0.08 * 2**16), 1) * 2 - 1, rtol=1e-5)
    assert_allclose(row('keypoints2d'), np.minimum(columns / (0.005 * 2**16), 1) * 2 - 1, rtol=1e-5)
    assert_allclose(row('keypoints3d'), columns / 2**16 * 2 - 1, rtol=1e-5, atol=1e-6)
    for name in ('reshading', 'segment_unsup2d', 'segment_unsup25d'):
        assert_allclose(row(name), np.where(np.arange(SIZE) < SIZE // 2, -0.6, 1), rtol=1e-5)


def test_what_the_loss_sees_of_depth():
    tasks = TaskSet(Config.fromfile(CONFIG).tasks)
    codes = torch.tensor([1.0, 511.0, 65534.0])
    assert_allclose(
        tasks['depth_zbuffer'].encode(codes / 512).numpy(), np.log(1 + codes.numpy()) / np.log(2**16), rtol=1e-5
    )


def test_resized_cropped_and_scored_on_the_window(root):
    for loader in ('train_dataloader', 'val_dataloader'):
        sample = DATASETS.build(config(root, resized=32, crop=24)[loader].dataset)[0]
        assert sample['inputs'].shape == (3, 24, 24)
        assert {x.shape[-2:] for x in sample['data_samples'].gt.values()} == {(24, 24)}
    assert sample['data_samples'].ori_shape == (24, 24)
    centre = sample['data_samples'].gt.depth_zbuffer[0, 12]
    assert_allclose(centre.numpy(), (np.arange(4, 28) * 2 + 0.5) * 2, rtol=1e-5)  # no zoom: metres stay


def test_part_of_the_photos_and_named_buildings(root):
    options = dict(data_root=str(root), metainfo=dict(tasks=dict(depth_zbuffer=dict(type='LogDepth'))))
    assert len(TaskonomyDataset(**options)) == 8
    assert len(TaskonomyDataset(**options, points=0.25)) == 2
    assert len(TaskonomyDataset(**options, buildings=['ihlen'])) == 2
    with pytest.raises(ValueError, match="photos of the building 'merom'.*does not exist"):
        TaskonomyDataset(**options, buildings=['merom'])


def test_a_missing_domain_is_named(root):
    (root / 'edge_texture').rename(root / 'somewhere_else')
    opened, problems = open_datasets_one_by_one(config(root), 'train')
    assert not opened
    assert 'has no folder of the domain of edge_texture: expected' in problems[0]
    assert 'leave edge_texture out with `task_names`' in problems[0]
    cfg = Config.fromfile(CONFIG)
    cfg.task_names = ['depth_zbuffer', 'normal']
    cfg.train_dataloader.dataset.data_root = str(root)
    (dataset,) = open_datasets(cfg, 'train')
    assert list(dataset.tasks) == ['depth_zbuffer', 'normal']


def test_a_missing_file_is_an_unlabelled_image(root):
    next((root / 'normal/allen').iterdir()).unlink()
    dataset = DATASETS.build(config(root).train_dataloader.dataset)
    labelled = [not bool((dataset[i]['data_samples'].gt.normal == 255).all()) for i in range(4)]
    assert labelled.count(False) == 1


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('building,train\nallen,1\n', r"lacks the columns \['id', 'val', 'test'\]"),
        ('id,train,val,test\nallen,0,1,0\n', "no building whose column 'train' is 1"),
        ('id,train,val,test\nallen,1\n', 'has incomplete lines: allen'),
        (None, 'Cannot read the table of buildings'),
    ],
)
def test_tables_that_are_none(root, text, message):
    path = root / 'train_val_test_tiny.csv'
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ValueError, match=message):
        DATASETS.build(config(root).train_dataloader.dataset)


def test_options_are_checked(root):
    options = dict(data_root=str(root), metainfo=dict(tasks=dict(depth_zbuffer=dict(type='LogDepth'))))
    with pytest.raises(ValueError, match="'validation' and 1.0"):
        TaskonomyDataset(**options, split='validation')


def test_semantic_classes_are_read_under_their_own_suffix(root):
    folder = root / 'segment_semantic/corozal'
    folder.mkdir(parents=True)
    ids = np.tile(np.arange(SIZE, dtype=np.uint8) % 18, (SIZE, 1))
    for point in ('point_0_view_0', 'point_1_view_2'):
        cv2.imwrite(str(folder / f'{point}_domain_segmentsemantic.png'), ids)
    tasks = dict(segment_semantic=dict(type='SemSeg', out_channels=17))
    dataset = TaskonomyDataset(str(root), metainfo=dict(tasks=tasks), buildings='corozal')
    reader, paths = dataset.get_data_info(0)['label_files']['segment_semantic']
    assert_allclose(reader.read(*paths)[0, :18], [255, *range(17)])
    assert set(DOMAINS) > set(files()) - {'rgb'}
