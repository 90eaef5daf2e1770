import re

import numpy as np
import torch

from mlore_mm.datasets.transforms import MarkIgnore, PackMultiTaskInputs
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet

TASKS = TaskSet(
    dict(
        human_parts=dict(type='HumanParts'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(type='Edge'),
    )
)


def sample():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    normals = np.zeros((2, 4, 3), dtype=np.float32)
    normals[0, 1] = (0, 0, 1)
    targets = dict(
        human_parts=np.zeros((2, 4), dtype=np.uint8), normals=normals, edge=np.ones((4, 2), dtype=np.uint8).T
    )
    return dict(img=image, tasks=TASKS, targets=targets, img_path='x.jpg', padding=(0, 0, 0, 0), label_files={})


def test_zero_vectors_and_images_without_people_are_marked():
    targets = MarkIgnore()(sample())['targets']
    assert (targets['human_parts'] == 255).all()
    assert targets['normals'][0, 1].tolist() == [0, 0, 1]
    assert (targets['normals'] == 255).all(axis=-1).sum() == 7


def test_tensors_and_meta_information():
    packed = PackMultiTaskInputs()(sample())
    assert packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    assert packed['inputs'].tolist() == sample()['img'].transpose(2, 0, 1).tolist()
    data_sample = packed['data_samples']
    assert {'img_path', 'padding'} == set(data_sample.metainfo_keys())
    dtypes = {name: data_sample.gt.get(name).dtype for name in TASKS}
    assert dtypes == dict(human_parts=torch.uint8, normals=torch.float32, edge=torch.float32)
    assert data_sample.gt.edge.shape == (1, 2, 4)
    assert data_sample.gt.normals[:, 0, 1].tolist() == [0, 0, 1]


def test_without_labels_there_is_no_ground_truth():
    results = sample()
    del results['targets']
    assert 'gt' not in PackMultiTaskInputs()(MarkIgnore()(results))['data_samples']


def test_everything_that_a_sample_documents_is_packed():
    documented = set(re.findall(r'``(\w+)``', MultiTaskDataSample.__doc__)) - {'gt', 'pred', 'groups'}
    packed = PackMultiTaskInputs()(dict(sample(), **dict.fromkeys([*documented, 'intrinsics', 'other'], 1)))
    assert set(packed['data_samples'].metainfo_keys()) == documented | {'intrinsics'}
    some = PackMultiTaskInputs(meta_keys=['other'])(dict(sample(), other=3))['data_samples']
    assert list(some.metainfo_keys()) == ['other']
    ids = PackMultiTaskInputs()(dict(sample(), img=np.zeros((2, 4))))['inputs']
    assert (ids.dtype, ids.shape) == (torch.float64, (1, 2, 4))
