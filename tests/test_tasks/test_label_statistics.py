import numpy as np
import pytest

from mlore_mm.tasks import Edge, Saliency, SemSeg
from tests.test_tasks.kinds import KINDS, make, make_label


def look(task, *labels, whole=True, code=str):
    statistics = task.statistics()
    for label in labels:
        statistics.add(np.asarray(label, dtype=task.dtype))
    return statistics, statistics.findings(whole, code)


def texts(findings) -> str:
    return '\n'.join(map(str, findings))


@pytest.mark.parametrize('kind', KINDS)
def test_statistics_add_up_in_any_order_and_sound_labels_have_no_error(kind):
    task = make(kind)
    labels = [make_label(task, seed=seed) for seed in range(4)]
    if kind == 'HumanParts':
        for label in labels:
            label[0, 0] = 1
    together, findings = look(task, *labels)
    left, right = look(task, *labels[:1])[0], look(task, *labels[1:])[0]
    merged = right.merge(left)
    assert merged.values() == together.values()
    assert list(merged.bars()[1]) == pytest.approx(list(together.bars()[1]))
    assert [f for f in findings if f.level == 'error'] == []
    assert merged.valid == 4 * 30


@pytest.mark.parametrize('kind', KINDS)
def test_labels_that_never_count_are_an_error(kind):
    task = make(kind)
    _, (finding,) = look(task, task.empty_target(3, 4))
    assert (finding.level, finding.task) == ('error', task.name)
    assert 'no pixel of the 1 labels counts' in finding.text


def test_classes_are_counted_and_those_that_are_rare_are_named():
    task = SemSeg(name='s', out_channels=4, classes=('wall', 'floor', 'lamp', 'cat'))
    labels = [[[0, 0, 1, 255]], [[0, 0, 0, 1]], [[0, 1, 1, 1]], [[0, 0, 0, 2]]]
    statistics, findings = look(task, *labels)
    assert statistics.values() == '3 of 4 classes; 0 wall 60.0 %, 1 floor 33.3 %, 2 lamp 6.7 %'
    assert '1 of 4 classes never occur: 3 cat. To cure it: `offset` or `id_map`' in texts(findings)
    assert '1 classes occur in one image only: 2 lamp' in texts(findings)
    assert look(task, *labels, whole=False)[1] == []  # a sample says nothing about that


def test_a_mask_of_0_and_255_under_a_reader_of_ids_cannot_be_right():
    _, (finding, *_) = look(SemSeg(name='s', out_channels=2), [[0, 0, 255]], [[0, 0, 255]])
    assert finding.level == 'error'
    assert '0 is the only class in 2 labels, 33.3 % have no label' in finding.text
    assert 'id_map={0: 0, 255: 1}' in finding.cure


def test_masks_that_are_empty_inverted_or_of_0_and_1():
    task = Saliency(name='sal')
    assert texts(look(task, [[0, 0]], [[0, 255]])[1]).startswith('error: sal: no pixel is 1 in any of 2 labels')
    assert 'is the map inverted' in texts(look(task, [[1] * 19 + [0]])[1])
    assert look(task, [[0, 1]])[1] == []
    edge = Edge(name='edge')
    (finding,) = look(edge, [[0, 1 / 255]], [[0, 0]])[1]
    assert finding.level == 'error'
    assert finding.cure == 'divisor=1 of ScaledReader, threshold=0 of MaskReader'
    assert '75.0 % of the pixels are 1: is the map inverted' in texts(look(edge, [[1, 1, 1, 0]])[1])


def test_classes_that_mean_no_label_are_not_missed():
    statistics, findings = look(SemSeg(name='s', out_channels=4, ignore_value=0), [[0, 1, 2, 2]], [[1, 1, 2, 3]])
    assert texts(findings) == ''
    assert statistics.valid == 7
    assert 'never occur: 0' in texts(look(SemSeg(name='s', out_channels=3), [[1, 2]])[1])


@pytest.mark.parametrize(
    ('labels', 'whole', 'level'),
    [
        ([[[0, 255]], [[0, 0]]], True, 'error'),
        ([[[0, 255]], [[0, 0]]], False, 'warning'),
        ([[[0, 0]], [[0, 0]]], True, 'warning'),  # nothing was lost in reading
    ],
)
def test_a_single_class_is_an_error_where_something_was_lost(labels, whole, level):
    assert [f.level for f in look(SemSeg(name='s', out_channels=2), *labels, whole=whole)[1]] == [level]
    assert {f.level for f in look(SemSeg(name='s', out_channels=3), *labels, whole=whole)[1]} == {'warning'}


def test_a_class_of_one_image_is_told_from_four_images_on():
    task, labels = SemSeg(name='s', out_channels=2), [[[0, 1]], [[0, 0]], [[0, 0]], [[0, 0]]]
    assert look(task, *labels[:3])[1] == []
    assert texts(look(task, *labels)[1]) == 'warning: s: 1 classes occur in one image only: 1.'


def test_long_lists_of_classes_are_cut():
    never = texts(look(SemSeg(name='s', out_channels=12), [[0, 1]])[1])
    assert '10 of 12 classes never occur: 2, 3, 4, 5, 6, 7, 8, 9 and 2 more. To' in never
    assert 'more' not in texts(look(SemSeg(name='s', out_channels=10), [[0, 1]])[1])


def test_pixels_without_a_label_are_counted():
    task = SemSeg(name='s', out_channels=2)
    statistics, findings = look(task, [[0, 1, 255, 255, 255]], [[255] * 5])
    assert (statistics.images, statistics.empty, statistics.pixels, statistics.valid) == (2, 1, 10, 2)
    assert texts(findings) == 'warning: s: 80.0 % of the pixels have no label. To cure it: `ignore` of the reader.'
    assert list(statistics.bars()[0]) == ['0', '1']
    assert list(statistics.bars()[1]) == [50, 50]
    assert look(task, [[0, 1, 255, 255]])[1] == []
    assert 'warning: s: only 5.0 % of the pixels count.' in texts(look(task, [[0, *[255] * 19]])[1])
    assert 'count' not in texts(look(task, [[0, *[255] * 9]])[1])
    assert look(task)[1] == []


def test_shares_of_a_mask():
    statistics, findings = look(Edge(name='e'), [[0, 0, 0.5, 255]], [[0, 0, 0, 0]], [[1, 1, 255, 255]])
    assert statistics.values() == '27.78 % are 1; none in 1 images, all in 1; largest value 1'
    assert (statistics.bars()[0], statistics.bars()[1][1]) == (('0', '1'), pytest.approx(250 / 9))
    assert findings == []
    assert look(Edge(name='e'), [[0, 0, 0, 0.011]])[1] == []
    assert [f.level for f in look(Saliency(name='x'), [[0, 0]])[1]] == ['warning']
    assert [f.level for f in look(Saliency(name='x'), [[0]], [[0]], whole=False)[1]] == ['warning']
    assert look(Saliency(name='x'), [[1] * 9 + [0]])[1] == look(Edge(name='x'), [[0, 1]])[1] == []  # 90 % and 50 %
    low, high = look(Edge(name='e'), [[0, 0.004]])[0], look(Edge(name='e'), [[0, 0.7]])[0]
    assert low.merge(high).findings() == []
