"""What holds for every kind of task."""

import inspect

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.testing import assert_close

from mlore_mm.registry import TASKS
from mlore_mm.tasks import DenseRegression, Depth, Edge, SemSeg, SurfaceNormals, Task, TaskSet
from tests.test_tasks.kinds import KINDS, make, make_label, to_tensor


@pytest.fixture(params=KINDS)
def task(request):
    return make(request.param)


def test_every_kind_of_the_package_is_tested_here():
    own = {name for name, kind in TASKS.module_dict.items() if kind.__module__.startswith('mlore_mm.')}
    assert own == set(KINDS)


def test_mirroring_twice_changes_nothing(task):
    label = make_label(task)
    label.reshape(-1)[:3] = task.ignore_value
    before = label.copy()
    assert_array_equal(task.hflip_values(task.hflip_values(label)), label)
    assert_array_equal(label, before)  # nor the label that came in
    tensor = to_tensor(label)
    mirrored = task.hflip_values(tensor, channel_axis=0)
    assert_array_equal(mirrored, to_tensor(task.hflip_values(label)))


def test_rescaling_there_and_back(task):
    label = make_label(task)
    np.testing.assert_allclose(task.rescale_values(task.rescale_values(label, 1.7), 1 / 1.7), label, rtol=1e-6)


def test_fresh_labels_are_sound_and_count_everywhere(task):
    label = make_label(task)
    label.flat[0] = 1 if task.dtype == 'uint8' else label.flat[0]  # at least one part of a person
    assert task.check_values(label) is None
    assert task.valid_mask(to_tensor(task.mask_values(label))).all()


def test_an_empty_target_is_sound_and_counts_nowhere(task):
    empty = task.empty_target(3, 4)
    assert empty.dtype == task.dtype
    assert task.check_values(empty) is None
    for label in (empty, task.mask_values(empty), task.mask_values(task.hflip_values(empty))):
        valid = task.valid_mask(to_tensor(label))
        assert valid.shape == (1, 3, 4)
        assert not valid.any()


def test_padding_counts_nowhere(task):
    label = np.full_like(make_label(task), task.pad_value)
    assert not task.valid_mask(to_tensor(task.mask_values(label))).any()


def test_decoding_is_finalising_activated_logits(task):
    logits = 3 * torch.randn(2, task.out_channels, 4, 5)
    prediction = task.decode(logits)
    assert_close(prediction, task.finalize(task.activate(logits)))
    assert prediction.shape[-2:] == (4, 5)
    assert_close(prediction[0], task.decode(logits[0]))


def test_pictures_show_labels_predictions_and_nothing(task):
    label = to_tensor(make_label(task)).numpy()
    picture = task.draw(label)
    assert picture.dtype == np.uint8
    assert picture.shape == (6, 5, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1
    prediction = task.decode(torch.randn(task.out_channels, 6, 5)).numpy()
    assert task.draw(prediction).shape == (6, 5, 3)
    empty = to_tensor(task.empty_target(6, 5)).numpy()
    assert len(np.unique(task.draw(empty).reshape(-1, 3), axis=0)) == 1


def test_the_constant_prediction_looks_like_a_prediction(task):
    labels = [to_tensor(make_label(task, seed=seed)) for seed in range(3)]
    constant = task.constant(labels)
    prediction = task.decode(torch.randn(task.out_channels, 6, 5))
    assert constant.shape == (len(prediction), 1, 1)
    assert torch.isfinite(constant.float()).all()
    assert torch.isfinite(task.constant([]).float()).all()


def test_a_config_rebuilds_the_task(task):
    assert TASKS.build(dict(task.to_config(), name=task.name)) == task


def test_lists_of_a_config_become_tuples():
    task = SemSeg(name='x', out_channels=2, classes=['a', 'b'], palette=[[1, 2, 3], [4, 5, 6]])
    assert task.classes == ('a', 'b')
    assert task.palette == ((1, 2, 3), (4, 5, 6))


def test_a_task_needs_a_channel():
    with pytest.raises(ValueError, match="Task 'x' needs out_channels >= 1, but got 0"):
        Depth(name='x', out_channels=0)


def test_a_kind_without_a_picture_says_so():
    with pytest.raises(NotImplementedError, match=r'Task does not implement draw\(\)'):
        Task(name='x').draw(np.zeros((1, 2, 2)))


@pytest.mark.parametrize(
    ('metric', 'expected'),
    [
        (dict(type='BoundaryLossMetric'), ('loss', False, '')),
        (dict(type='mlore_mm.BoundaryMetric'), ('odsF', True, '')),
        (dict(type='DepthMetric'), ('RMSE', False, 'm')),
        (dict(), ('', True, '')),
    ],
)
def test_a_task_names_its_metric_and_the_metric_says_the_rest(metric, expected):
    task = Edge(name='edge', metric=metric)
    assert (task.headline, task.higher_is_better, task.unit) == expected
    again = TaskSet(dict(edge=dict(task.to_config(), metric=dict(type='NormalsMetric'))))['edge']
    assert (again.headline, again.higher_is_better, again.unit) == ('mErr', False, 'deg')


def test_a_headline_that_is_given_stays():
    task = Edge(name='edge', headline='AP', metric=dict(type='BoundaryMetric'))
    assert task.headline == 'AP'
    assert TaskSet(dict(edge=task.to_config()))['edge'].headline == 'AP'


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(type='SemSeg', out_channels=4, classes=('a', 'b', 'c')), '3 entries in `classes`, but out_channels=4'),
        (dict(type='SemSeg', out_channels=2, palette=((0, 0, 0),) * 3), '3 entries in `palette`, but out_channels=2'),
        (dict(type='HumanParts', out_channels=5), '7 entries in `classes`, but out_channels=5'),
        (dict(type='SemSeg', out_channels=2, classes=('a', 'a')), 'more than once in `classes`: a'),
        (dict(type='SemSeg', out_channels=1, palette=((0, 300, 0),)), r'colours \(red, green, blue\) of 0 to 255'),
        (dict(type='SemSeg', pad_value=3), 'pad_value=3 and ignore_value=255: what is padded would count as a label'),
        (dict(type='SemSeg', ignore_value=-1), "ignore_value=-1, which its labels of dtype='uint8' cannot hold"),
        (dict(type='Saliency', pad_value=0), 'pad_value=0 and ignore_value=255'),
        (dict(type='Edge', ignore_value=0), 'labels from 0 to 1, so ignore_value=0 would leave labels out'),
        (dict(type='DenseRegression', ignore_value=-1, pad_value=255), 'pad_value=255 and ignore_value=-1'),
        (dict(type='Depth', pad_value=5), 'pad_value=5 and ignore_value=0'),
        (dict(type='SurfaceNormals', pad_value=0.5), 'pad_value=0.5 and ignore_value=255'),
        (dict(type='DenseRegression', out_channels=3, target_channels=2), 'out_channels=3 and target_channels=2'),
    ],
)
def test_fields_that_contradict_each_other_are_named(fields, message):
    with pytest.raises(ValueError, match=f"'x'.*{message}"):
        TASKS.build(dict(name='x', **fields))


def test_padding_follows_the_ignore_value():
    assert DenseRegression(name='x', ignore_value=-1).pad_value == -1
    assert SemSeg(name='x', ignore_value=0).pad_value == 0


def test_a_class_may_be_left_out_and_the_marker_of_the_readers_with_it():
    task = SemSeg(name='x', out_channels=4, ignore_value=0)
    label = np.array([[0, 1, 3, 255]], dtype=np.uint8)
    assert task.check_values(label) is None
    assert task.valid_mask(torch.from_numpy(label)[None]).tolist() == [[[False, True, True, False]]]


@pytest.mark.parametrize('key', ['loss', 'metric'])
def test_a_loss_and_a_metric_are_needed(key):
    with pytest.raises(ValueError, match=f"Task 'x' has {key}=None, expected dict.type='...'."):
        TaskSet(dict(x=dict(type='Depth', **{key: None})))


def test_settings_have_names(task):
    kinds = {x.kind for x in inspect.signature(type(task)).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(dtype='float33'), "has dtype='float33', which NumPy does not know"),
        (dict(dtype='uint8', ignore_value=254.5), 'has ignore_value=254.5, which its labels of dtype='),
        (dict(dtype='uint8', pad_value=256), 'has pad_value=256, which its labels of dtype='),
        (dict(dtype='int8', ignore_value=-129), 'has ignore_value=-129, which'),
        (dict(interpolation='linear'), "has interpolation='linear', expected one of"),
    ],
)
def test_markers_fit_the_type(fields, message):
    with pytest.raises(ValueError, match=f"'x' {message}"):
        DenseRegression(name='x', **fields)
    assert DenseRegression(name='x', dtype='uint8', ignore_value=255.0).pad_value == 255
    assert DenseRegression(name='x', dtype='int8', ignore_value=-128).pad_value == -128


def test_errors_and_files_of_a_map_of_two_numbers():
    task = DenseRegression(name='x', out_channels=2)
    pred, gt = np.array([[[1, 2, 3]], [[0, 0, 0]]]), np.array([[[2, 2, 255]], [[-4, 0, 0]]])
    assert_array_equal(task.error(pred, gt), [[2.5, 0, np.nan]])
    array, suffix = task.to_file(pred)
    assert (array.dtype, array.tolist(), suffix) == (np.float32, [[[1, 0], [2, 0], [3, 0]]], '.npy')
    assert array.flags.c_contiguous
    assert task.to_file(pred[:1])[0].tolist() == [[1, 2, 3]]
    finite = task.finite_mask(torch.tensor([[[1, np.nan, 3]], [[0, 0, np.inf]]]))
    assert finite.tolist() == [[[True, False, False]]]


def test_a_task_without_rules_keeps_everything():
    task, logits = Task(name='x'), torch.randn(1, 1, 2, 2)
    label = np.array([[3.0, -1.0]])
    assert task.decode_and_resize(logits, lambda x: x * 2).equal(2 * logits)
    assert (task.value_range(label[None]), task.legend(label[None]), task.check_values(label)) == (None, [], None)
    for values in (task.rescale_values(label, 2), task.rotate_values(label, 9), task.refine_values(label)):
        assert values is label


def test_a_class_is_decided_before_a_picture_is_resized_and_a_number_after():
    """Family A: resized is what the logits stand for, by a function that here takes the mean of both columns."""
    mean = lambda x: x.float().mean(dim=-1, keepdim=True)  # noqa: E731
    logits = torch.tensor([[[0.0, 4.0]], [[1.0, 0.0]], [[0.0, 0.0]]])
    assert SemSeg(name='x', out_channels=3).decode_and_resize(logits, mean).tolist() == [[[0.5]]]
    assert Depth(name='x').decode_and_resize(torch.tensor([[[-2.0, 4.0]]]), mean).tolist() == [[[1]]]
    short = SurfaceNormals(name='x').decode_and_resize(torch.eye(3)[:, None, :2], mean)
    assert short.flatten().tolist() == [0.5, 0.5, 0]
