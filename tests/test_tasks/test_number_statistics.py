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
