"""How wrong a prediction is at a pixel, and how predictions are stored."""

import numpy as np
import pytest

from mlore_mm.tasks import DenseRegression, Depth, Edge, Saliency, SemSeg, SurfaceNormals

NAN = np.nan


def row(*values, dtype=np.float32) -> np.ndarray:
    return np.array(values, dtype).reshape(1, 1, -1)


def vectors(*values) -> np.ndarray:
    return np.array(values, np.float32).T[:, None, :]


@pytest.mark.parametrize(
    ('task', 'pred', 'gt', 'error'),
    [
        (SemSeg(name='semseg'), row(3, 4, 0, dtype=int), row(3, 5, 255, dtype=int), [0, 1, NAN]),
        (Saliency(name='sal'), row(0.2, 0.9, 0.5), row(0, 1, 255), [0.2, 0.1, NAN]),
        (Edge(name='edge'), row(0.5, 1.0), row(0.25, 255), [0.25, NAN]),
        (Depth(name='depth'), row(1.5, 4.0, 2.0), row(2.0, 3.0, 0), [0.5, 1.0, NAN]),
        (DenseRegression(name='flow', out_channels=2), vectors([1, 2], [0, 0]), vectors([1, 0], [255, 255]), [1, NAN]),
        (
            SurfaceNormals(name='normals'),
            vectors([0, 0, 1], [0, 2, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]),
            vectors([0, 0, 1], [0, 0, 1], [-1, 0, 0], [255, 255, 255], [0, 0, 0]),
            [0, 90, 180, NAN, NAN],
        ),
    ],
    ids=lambda x: getattr(x, 'name', ''),
)
def test_errors_by_hand(task, pred, gt, error):
    np.testing.assert_allclose(task.error(pred, gt)[0], error, rtol=1e-6, atol=1e-5)


def test_class_ids_are_stored_as_they_are():
    values, suffix = SemSeg(name='semseg', out_channels=40).to_file(row(0, 39, dtype=int))
    assert (values.tolist(), values.dtype, suffix) == ([[0, 39]], np.uint8, '.png')
    values, _ = SemSeg(name='semseg', out_channels=459).to_file(row(0, 458, dtype=int))
    assert (values.tolist(), values.dtype) == ([[0, 458]], np.uint16)


def test_probabilities_become_bytes():
    for task in (Saliency(name='sal'), Edge(name='edge')):
        values, suffix = task.to_file(row(0, 0.5, 1, 0.25))
        assert (values.tolist(), values.dtype, suffix) == ([[0, 128, 255, 64]], np.uint8, '.png')


def test_depth_is_stored_in_millimetres():
    values, suffix = Depth(name='depth').to_file(row(0, 1.2345, 65.535, 1.9996))
    assert (values.tolist(), values.dtype, suffix) == ([[0, 1234, 65535, 2000]], np.uint16, '.png')


def test_depth_beyond_sixteen_bits_is_stored_in_metres():
    values, suffix = Depth(name='depth').to_file(row(0, 1.25, 70, 2))
    assert (values.tolist(), values.dtype, suffix) == ([[0, 1.25, 70, 2]], np.float32, '.npy')


def test_vectors_are_stored_channels_last():
    values, suffix = SurfaceNormals(name='normals').to_file(vectors([0, 0, 1], [1, 0, 0]))
    assert (values.tolist(), values.dtype, suffix) == ([[[0, 0, 1], [1, 0, 0]]], np.float32, '.npy')


def test_legend_names_what_is_present():
    task = SemSeg(
        name='semseg', out_channels=3, classes=('wall', 'floor', 'bed'), palette=((1, 1, 1), (2, 2, 2), (3, 3, 3))
    )
    legend = task.legend(row(2, 2, 255, dtype=int), row(0, 2, 2, dtype=int))
    assert legend == [('wall', (1, 1, 1)), ('bed', (3, 3, 3))]


def test_legend_of_normals_has_the_colours_that_are_drawn():
    task = SurfaceNormals(name='normals')
    up = np.array([0.0, 1, 0], np.float32).reshape(3, 1, 1)
    legend = dict(task.legend())
    assert legend['+y'] == tuple(task.draw(up)[0, 0]) == (128, 255, 128)
    assert legend['-y'] == tuple(task.draw(-up)[0, 0]) == (128, 0, 128)


def test_range_of_depth_covers_all_maps_and_skips_what_is_not_measured():
    low, high = Depth(name='depth').value_range(row(0, 2, 2, 2), row(8, 8, 8, 0))
    assert (low, high) == (2, 8)
    assert Depth(name='depth').value_range(row(0, 0)) == (0, 1)
