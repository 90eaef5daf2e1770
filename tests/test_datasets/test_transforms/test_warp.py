"""Benchmark family A: a sample on its way through flip, warp, stretch and marks, against the published numbers."""

import copy

import cv2
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from mlore_mm.datasets.transforms import (
    MarkIgnore,
    MultiTaskRandomFlip,
    MultiTaskRandomWarp,
    MultiTaskResize,
    PackMultiTaskInputs,
)
from mlore_mm.tasks import TaskSet
from tests.shared import REPO, shared_path

KINDS = dict(
    semseg=dict(type='SemSeg'),
    human_parts=dict(type='HumanParts'),
    sal=dict(type='Saliency', out_channels=1),
    normals=dict(type='SurfaceNormals', interpolation='cubic'),
    edge=dict(type='Edge'),
    depth=dict(type='Depth'),
)
IN_REPOSITORY = ('flip1_rot-11_zoom1.15', 'flip1_rot0_zoom1.5')
CASES = (*IN_REPOSITORY, 'flip0_rot0_zoom1.0', 'flip0_rot0_zoom1.2', 'flip0_rot17_zoom0.8')


def load(case: str) -> tuple[dict, dict, dict, tuple]:
    """Inputs, parameters, results and their size; from the repository where it has them."""
    path = REPO / 'tests/data/family_a/transforms.pth'
    path = path if case in IN_REPOSITORY else shared_path('golden/padnet_mtinet/transforms.pth')
    file = torch.load(path, weights_only=True)
    found = file['cases'][case]
    return (*({k: x.numpy() for k, x in d.items()} for d in (file['input'], found['final'])), found['params'], file)


def sample(inputs: dict) -> dict:
    targets = {name: x for name, x in copy.deepcopy(inputs).items() if name != 'image'}
    image = np.ascontiguousarray(inputs['image'])
    return dict(img=image, tasks=TaskSet(KINDS), targets=targets, ori_shape=image.shape[:2], img_shape=image.shape[:2])


def pipeline(results: dict, params: dict, size, **resize) -> dict:
    degrees, zoom = params['rotation'], params['zoom']
    options = dict(keep_ratio=False, image_interpolation='cubic', rescale_values=False, eval_at='input')
    for step in (
        MultiTaskRandomFlip(float(params['flip'])),
        MultiTaskRandomWarp(rotation=(degrees, degrees), zooms=(zoom,)),
        MultiTaskResize(size, **{**options, **resize}),
        MarkIgnore(),
    ):
        results = step(results)
    return results


@pytest.mark.parametrize('case', CASES)
def test_published_sample(case):
    inputs, final, params, file = load(case)
    results = pipeline(sample(inputs), params, file['output_size'], image_dtype='float32')
    scale = 1e-5 * 255
    assert_allclose(results['img'], final['image'], atol=scale)
    assert not final['image'].min() >= 0, 'the spline overshoots'
    for name, wanted in final.items():
        if name == 'image':
            continue
        ours = results['targets'][name]
        if name == 'depth':
            wanted = np.where(wanted == 255, KINDS['depth'].get('ignore_value', 0), wanted)
        assert_allclose(ours, wanted, atol=1e-5, err_msg=name)
    bytes_ = pipeline(sample(inputs), params, file['output_size'])['img']
    assert bytes_.dtype == np.uint8
    assert_array_equal(bytes_, np.clip(results['img'], 0, 255).astype(np.uint8))


def test_labels_keep_the_size_of_the_file_where_predictions_are_brought_back():
    inputs, _, params, file = load(CASES[0])
    plain = dict(params, flip=False, rotation=0, zoom=1.0)
    results = pipeline(sample(inputs), plain, file['output_size'], eval_at='original')
    assert results['img'].shape[:2] == tuple(file['output_size'])
    assert results['ori_shape'] == inputs['image'].shape[:2]
    assert 'scale_factor' not in results, 'metres of predictions stay'
    assert_array_equal(results['targets']['depth'], inputs['depth'])
    assert results['targets']['semseg'].shape == inputs['semseg'].shape
    packed = PackMultiTaskInputs()(results)
    assert packed['data_samples'].gt.semseg.shape[-2:] == packed['data_samples'].ori_shape
    here = pipeline(sample(inputs), plain, file['output_size'], eval_at='input')
    assert here['ori_shape'] == here['targets']['depth'].shape == tuple(file['output_size'])
    nearest = cv2.resize(inputs['depth'], tuple(file['output_size'])[::-1], interpolation=cv2.INTER_NEAREST)
    assert_array_equal(here['targets']['depth'], nearest)


def test_the_border_is_a_label_unless_it_is_ignored():
    inputs, *_ = load(CASES[0])
    inputs['semseg'][:] = 3
    smaller = dict(rotation=(0, 0), zooms=(0.5,))
    assert MultiTaskRandomWarp(**smaller)(sample(inputs))['targets']['semseg'][0, 0] == 0
    assert MultiTaskRandomWarp(**smaller, border='ignore')(sample(inputs))['targets']['semseg'][0, 0] == 255
    inputs['semseg'][:] = 255  # the image has no label of this task
    assert (MultiTaskRandomWarp(**smaller)(sample(inputs))['targets']['semseg'] == 255).all()


def test_turning_a_plane_turns_its_normals():
    """A quarter turn of the picture is an exact rotation of pixels, and one of the vectors in them."""
    vectors = np.zeros((9, 9, 3), np.float32)
    vectors[:, :5] = (1, 0, 0)
    vectors[:, 5:] = (0, 0.6, 0.8)
    vectors[0, 0] = 255
    task = TaskSet(KINDS)['normals']
    turned = task.rotate_values(vectors, 90.0)
    assert_allclose(turned[3, 3], (0, -1, 0), atol=1e-7)
    assert_allclose(turned[3, 7], (0.6, 0, 0.8), atol=1e-7)
    assert (turned[0, 0] == 255).all()


def test_factors():
    listed, ranges = MultiTaskRandomWarp(zooms=(1.0, 1.2, 1.5)), MultiTaskRandomWarp((-20, 20), (0.75, 1.25))
    assert {listed.draw()[1] for _ in range(50)} == {1.0, 1.2, 1.5}
    draws = np.array([ranges.draw() for _ in range(400)])
    assert_allclose(draws.min(axis=0), (-20, 0.75), atol=1)
    assert_allclose(draws.max(axis=0), (20, 1.25), atol=1)
    assert np.abs(draws.mean(axis=0) - (0, 1)).max() < 2


@pytest.mark.parametrize('options', [dict(rotation=(5, -5)), dict(zoom=(0, 1)), dict(zooms=(1.0, -1.0))])
def test_impossible_ranges(options):
    with pytest.raises(ValueError, match='needs rotation='):
        MultiTaskRandomWarp(**options)


def test_unknown_options():
    with pytest.raises(ValueError, match="border is 'zero' or 'ignore'"):
        MultiTaskRandomWarp(border='black')
    with pytest.raises(ValueError, match="eval_at is 'input' or 'original'"):
        MultiTaskResize((4, 4), eval_at='file')
    with pytest.raises(ValueError, match='intrinsics cannot follow'):
        MultiTaskRandomWarp()(dict(intrinsics=(1, 1, 0, 0)))
