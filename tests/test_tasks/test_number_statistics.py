import numpy as np
import pytest

from mlore_mm.tasks import DenseRegression, Depth, SurfaceNormals
from tests.test_tasks.test_label_statistics import look, texts

RNG = np.random.default_rng(0)
ROOM = RNG.uniform(1, 9, (50, 60)).astype(np.float32)


def test_ranges_of_depth_stand_in_the_table():
    statistics, findings = look(Depth(name='d'), ROOM, np.zeros((50, 60)))
    assert statistics.values().startswith(f'{ROOM.min():.4g} to {ROOM.max():.4g} m; 1 % below 1.1')
    assert statistics.share(statistics.valid) == 50
    assert findings == []


@pytest.mark.parametrize('factor', [1000, 0.01])
def test_another_unit_is_named(factor):
    _, findings = look(Depth(name='d'), ROOM * factor, ROOM * factor)
    assert 'another unit?' in texts(findings)
    assert '1000 and 0.001 for millimetres' in texts(findings)


def test_a_mark_at_the_end_of_the_range_is_named_with_its_code():
    marked = ROOM.copy()
    marked[:10] = 65.535
    _, (finding,) = look(Depth(name='d'), marked, ROOM, code=lambda value: f'{value * 1000:.0f}')
    assert '10.0 % of the labels are 65.54, the largest value of all' in finding.text
    assert finding.cure.startswith('ignore=(65535,)')


def test_sky_beyond_the_limit_is_told():
    sky = ROOM.copy()
    sky[:5] = 128
    statistics, (finding,) = look(Depth(name='d'), sky)
    assert '10.00 % of the pixels are outside 0 to 80 m, so they do not count' in finding.text
    assert statistics.high < 9


def test_a_constant_map_cannot_be_right():
    _, (finding,) = look(DenseRegression(name='x'), np.full((3, 4), 7), np.full((3, 4), 7))
    assert (finding.level, finding.text) == ('error', 'every pixel of 2 labels is 7')


def unit_vectors() -> np.ndarray:
    vectors = RNG.normal(size=(40, 50, 3))
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def test_vectors_that_are_no_directions_are_named_with_their_colour():
    label = unit_vectors()
    assert look(SurfaceNormals(name='n'), label)[1] == []
    label[:10] = 64 * 2 / 255 - 1
    label[:1] = -0.9
    code = lambda vector: str(tuple(round((x + 1) * 127.5) for x in vector))  # noqa: E731
    _, findings = look(SurfaceNormals(name='n'), label, code=code)
    assert 'most often (13, 13, 13), length 1.56, with 2.5 %' in texts(findings)
    assert 'ignore=((13, 13, 13),) of the reader, or length_range=(0.5, 1.2) of the task' in texts(findings)


def test_vectors_coded_from_0_to_1_cannot_be_right():
    _, (finding,) = look(SurfaceNormals(name='n'), (unit_vectors() + 1) / 2)
    assert finding.level == 'error'
    assert 'coded in 0..1?' in finding.text
    assert finding.cure == 'scale=2, offset=-1 of NpyReader'


def test_the_table_says_range_and_percentiles():
    statistics, findings = look(DenseRegression(name='x', unit='mm'), np.arange(101.0)[None])
    assert statistics.values() == '0 to 100 mm; 1 % below 1, half 50, 99 % 99'
    assert [f.text[:44] for f in findings] == [
        '1.0 % of the labels are 100, the largest val',
        '1.0 % of the labels are 0, the smallest valu',
    ]
    names, shares = statistics.bars()
    assert names[:3] == ['0', '5', '10']
    assert shares == pytest.approx([500 / 101] * 19 + [600 / 101])
    assert look(DenseRegression(name='x'), np.arange(300.0)[None])[1] == []  # an end of 0.3 % is nothing


def test_a_label_is_sampled_and_both_ends_are_counted_over_all():
    statistics = look(DenseRegression(name='x'), np.arange(1201.0)[None], np.full((1, 800), 3000.0))[0]
    assert [len(x) for x in statistics.sample] == [400, 400]
    assert statistics.numbers == 2000  # without the pixel of 255
    assert '40.0 % of the labels are 3000, the largest' in texts(statistics.findings())
    assert 'smallest' not in texts(statistics.findings())


def test_statistics_of_one_half_take_in_the_other():
    left, right = look(Depth(name='d'), ROOM[:25])[0], look(Depth(name='d'), ROOM[25:] + 20)[0]
    merged = left.merge(right)
    assert (merged.low, merged.high) == (ROOM[:25].min(), ROOM[25:].max() + 20)
    assert merged.ends.keys() >= {merged.low, merged.high}
    assert (merged.images, merged.numbers, len(merged.sample)) == (2, ROOM.size, 2)


def test_one_constant_map_may_be():
    assert [f.level for f in look(DenseRegression(name='x'), np.full((3, 4), 7))[1]] == ['warning']


def test_more_than_half_outside_the_limits_is_an_error():
    half = np.where(np.arange(60) < 30, 128, ROOM)
    assert [f.level for f in look(Depth(name='d'), half)[1]] == ['warning']
    half[0, 30] = 128
    assert '50.0 % of the pixels are outside 0 to 80 m: another unit?' in texts(look(Depth(name='d'), half)[1])
    assert [f.level for f in look(Depth(name='d'), ROOM * 1000)[1]] == ['error', 'error']  # none counts
    assert look(Depth(name='d'), ROOM * 1000)[0].values() == 'none'


def test_an_implausible_median_is_named():
    near = RNG.uniform(0.01, 0.3, (50, 60))
    near[0] = 0.25
    text = texts(look(Depth(name='d'), near)[1])
    assert 'half of the labels are below 0.1' in text
    assert 'm, expected 0.2 to 70: another unit?' in text
    assert look(Depth(name='d'), ROOM + 60)[1] == []


def test_vectors_are_measured():
    label = np.zeros((1, 10, 3))
    label[0, :, 2] = [0.45, 0.55, 1, 1, 1, 1, 1, 1.1, 1.35, 2.85]
    task = SurfaceNormals(name='n')
    statistics, (finding,) = look(task, label)
    assert statistics.values() == 'mean length 1.130; 30.00 % shorter than 0.5 or longer than 1.2'
    names, shares = statistics.bars()
    assert (names[10], shares[10], sum(shares)) == ('1.0', 50, 100)
    assert (shares[4], shares[13], shares[19]) == (10, 10, 10)  # 3 is in the last one
    assert (finding.level, finding.cure) == ('error', 'scale=2, offset=-1 of NpyReader')  # three lengths, no mark
    label[0, 0, 0] = -0.3
    (finding,) = look(task, label)[1]
    assert finding.level == 'warning'
    assert '20.0 % of the vectors are shorter' in finding.text


def test_marks_among_vectors_are_a_warning_up_to_one_half():
    label = unit_vectors()
    for marked, levels in ((0, []), (4, ['warning']), (20, ['warning']), (21, ['error'])):
        label[:marked] = -0.9
        assert [f.level for f in look(SurfaceNormals(name='n'), label)[1]] == levels
    assert look(SurfaceNormals(name='n'), unit_vectors())[0].marks == {}
