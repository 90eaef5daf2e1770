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
