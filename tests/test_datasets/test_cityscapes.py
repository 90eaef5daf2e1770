"""Cityscapes in its layout: a plane seen by a camera, so that every label and intrinsic is known."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from numpy.testing import assert_allclose

from mlore_mm.datasets import CityscapesDataset, intrinsics
from mlore_mm.datasets.checking_config import check_dataset, open_datasets
from mlore_mm.datasets.intrinsics import read_camera
from mlore_mm.datasets.transforms import NormalsFromDepth
from mlore_mm.registry import TRANSFORMS
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO

HEIGHT, WIDTH = 32, 64
CAMERA = dict(extrinsic=dict(baseline=0.2, pitch=0.0), intrinsic=dict(fx=60.0, fy=50.0, u0=30.0, v0=17.0))
NORMAL, DISTANCE = np.array([0.3, -0.2, 0.9]) / np.linalg.norm([0.3, -0.2, 0.9]), 5.0
IDS = ('aachen/aachen_000000_000019', 'aachen/aachen_000001_000019', 'bochum/bochum_000000_000313')
CONFIG = REPO / 'configs/_base_/datasets/cityscapes.py'


def plane_depth():
    camera = CAMERA['intrinsic']
    x = (np.arange(WIDTH) - camera['u0']) / camera['fx']
    y = (np.arange(HEIGHT)[:, None] - camera['v0']) / camera['fy']
    return DISTANCE / (NORMAL[0] * x + NORMAL[1] * y + NORMAL[2])


@pytest.fixture
def root(tmp_path):
    """Three images of a plane; label ids are the column, so 34 to 63 would be unknown and are 0."""
    disparity = np.rint(256 * 0.2 * 60 / plane_depth() + 1).astype(np.uint16)
    disparity[:4, :4] = 0  # no reading
    disparity[4, :4] = 1  # infinitely far
    ids = np.where(np.arange(WIDTH) < 34, np.arange(WIDTH), 0).astype(np.uint8)
    maps = {
        'leftImg8bit': ('_leftImg8bit.png', np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)),
        'gtFine': ('_gtFine_labelIds.png', np.tile(ids, (HEIGHT, 1))),
        'disparity': ('_disparity.png', disparity),
    }
    for split in ('train', 'val'):
        for sample_id in IDS:
            for folder, (suffix, array) in maps.items():
                path = tmp_path / folder / split / f'{sample_id}{suffix}'
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array)
            path = tmp_path / 'camera' / split / f'{sample_id}_camera.json'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(CAMERA))
    return tmp_path


def config(root, size=(HEIGHT, WIDTH), flip=0.0):
    cfg = Config.fromfile(CONFIG)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(root)
        for step in loader.dataset.pipeline:
            step.update(dict(MultiTaskResize=dict(size=size), MultiTaskRandomFlip=dict(prob=flip)).get(step.type, {}))
        loader.num_workers = 0
    return bind_tasks(cfg)


def sample(cfg, split='train'):
    dataset = open_datasets(cfg, split)[0]
    results = dataset.get_data_info(0)
    for step in cfg[f'{split}_dataloader'].dataset.pipeline:
        results = TRANSFORMS.build(step)(results)
    return results['data_samples']


def test_samples_and_labels(root):
    dataset = open_datasets(config(root), 'train')[0]
    assert [dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))] == list(IDS)
    labels = sample(config(root)).gt
    semseg = labels.semseg[0, 0].numpy()
    assert semseg[[7, 8, 11, 33]].tolist() == [0, 1, 2, 18]
    assert (semseg[[0, 6, 9, 30, 40]] == 255).all()
    depth = labels.depth[0].numpy()
    assert (depth[:5, :4] == 0).all()
    assert_allclose(depth[5:], plane_depth()[5:], rtol=2e-3)


@pytest.mark.parametrize('flip', [0.0, 1.0])
@pytest.mark.parametrize('size', [(HEIGHT, WIDTH), (48, 128)])
def test_normals_of_a_plane_whatever_is_done_to_the_image(root, size, flip):
    """Stretched and mirrored, the plane is a plane with its own normal: intrinsics follow the image."""
    found = sample(config(root, size, flip))
    scale = np.array([size[1] / WIDTH, size[0] / HEIGHT] * 2)
    wanted = np.array([60.0, 50.0, 30.0, 17.0]) * scale
    wanted[2] = size[1] - 1 - wanted[2] if flip else wanted[2]
    assert_allclose(found.intrinsics, wanted)
    normals = found.gt.normals.numpy()
    valid = (normals != 255).all(axis=0)
    assert 0.7 < valid.mean() < 1
    assert not valid[0].any()
    normal = NORMAL * [1 if flip else -1, -1, 1]  # x and y of the label have the other sign
    assert_allclose(normals[:, valid].mean(axis=1), normal, atol=0.02)


def test_in_a_test_pipeline_labels_have_the_size_of_the_file(root):
    labels = sample(config(root, (16, 32)), 'val').gt
    assert labels.normals.shape == (3, HEIGHT, WIDTH)
    valid = (labels.normals != 255).all(dim=0)
    assert_allclose(labels.normals[:, valid].mean(dim=1), NORMAL * [-1, -1, 1], atol=0.02)


def test_sixteen_classes(root):
    cfg = config(root)
    cfg.train_dataloader.dataset.classes = 16
    semseg = sample(cfg).gt.semseg[0, 0].numpy()
    assert semseg[[7, 21, 23, 33]].tolist() == [0, 8, 9, 15]
    assert (semseg[[22, 27, 31]] == 255).all()
    with pytest.raises(ValueError, match='19 or 16 classes'):
        CityscapesDataset(str(root), classes=20)


def test_check_dataset_names_what_is_wrong(root):
    dataset = open_datasets(config(root), 'train')[0]
    assert list(check_dataset(dataset, workers=0)) == [[], [], []]
    (root / 'camera/train/aachen/aachen_000001_000019_camera.json').write_text('{"intrinsic": {"fx": 0}}')
    cv2.imwrite(str(root / f'disparity/train/{IDS[2]}_disparity.png'), np.zeros((HEIGHT, WIDTH), np.uint8))
    fine, camera, disparity = list(check_dataset(dataset, workers=0))
    assert fine == []
    assert "needs a number 'fx' in 'intrinsic'" in camera[0]
    assert 'expected a disparity of 16 bits' in disparity[0]


def test_without_cameras_normals_say_what_they_need(root):
    cfg = config(root)
    for path in (root / 'camera').rglob('*.json'):
        path.unlink()
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.labels = dict(depth=dict(type='ScaledReader', dir='disparity/train', suffix='_disparity.png'))
    with pytest.raises(ValueError, match='needs the intrinsics of the camera'):
        sample(cfg)


def test_normals_are_written_where_the_task_is_there_only():
    step, depth = NormalsFromDepth(), np.full((16, 20), 2, np.float32)
    data = dict(img=np.zeros((16, 20, 3), np.uint8), targets=dict(depth=depth), intrinsics=(9.0, 9.0, 10.0, 8.0))
    assert list(step.transform(data)['targets']) == ['depth']
    data['targets']['normals'] = np.zeros((16, 20, 3), np.float32)
    length = np.linalg.norm(step.transform(data)['targets']['normals'], axis=2)
    assert length.max() == pytest.approx(1)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(intrinsic=dict(fx=60, fy=0, u0=1, v0=1)), "number 'fy' in 'intrinsic', above 0 if a length, found 0"),
        (dict(intrinsic=dict(fx=60, fy=1, u0='1', v0=1)), "number 'u0' in 'intrinsic'.*found '1'"),
        (dict(extrinsic=dict(baseline=-0.2)), "number 'baseline' in 'extrinsic'.*found -0.2"),
        (dict(extrinsic={}), "number 'baseline'.*found None"),
    ],
)
def test_cameras_that_are_none(tmp_path, change, message):
    (tmp_path / 'c.json').write_text(json.dumps({**CAMERA, **change}))
    with pytest.raises(ValueError, match=f'c.json needs a {message}'):
        read_camera(str(tmp_path / 'c.json'))
    for text in ('[]', '{'):
        (tmp_path / 'c.json').write_text(text)
        with pytest.raises(ValueError, match='c.json'):
            read_camera(str(tmp_path / 'c.json'))


def test_a_camera_follows_its_image():
    read, moved = (dict(intrinsics=(6.0, 5.0, 3.0, 2.0)) for _ in range(2))
    intrinsics.resized(read, down=2, across=3)
    assert read['intrinsics'] == (18, 10, 9, 4)
    intrinsics.shifted(read, top=1, left=-2)
    assert read['intrinsics'] == (18, 10, 7, 5)
    intrinsics.mirrored(moved, 11)
    assert moved['intrinsics'] == (6, 5, 7, 2)
    for change in (lambda x: intrinsics.resized(x, 2, 2), lambda x: intrinsics.mirrored(x, 3)):
        change(nothing := {})
        assert nothing == {}
    intrinsics.shifted({}, 1, 1)


def test_labels_of_depth_in_bytes_and_of_other_names():
    step = NormalsFromDepth(depth='far', normals='n')
    targets = dict(far=np.full((16, 20), 2, np.uint8), n=np.zeros((16, 20, 3), np.float32))
    data = dict(img=np.zeros((16, 20, 3), np.uint8), targets=dict(targets), intrinsics=(9.0, 9.0, 10.0, 8.0))
    normals = step.transform(data)['targets']['n']
    assert_allclose(normals[2:-2, 2:-2], np.broadcast_to((0, 0, 1), (12, 16, 3)), atol=1e-6)
    assert not normals[[0, 1, -2, -1]].any()
    with pytest.raises(ValueError, match=r"the task 'far' of an image, but there are labels of \['n'\]"):
        step.transform(dict(data, targets=dict(n=targets['n'])))
    with pytest.raises(ValueError, match='needs the intrinsics of the camera of x.png'):
        step.transform(dict(img=data['img'], targets=dict(targets), img_path='x.png'))
