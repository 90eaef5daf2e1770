import numpy as np
import pytest

from mlore_mm.visualization import Bar, Cell, Chips, Column, compose
from mlore_mm.visualization.panels import BLANK, PAPER, cell_size

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(colour, size=(12, 16)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def count(panel, colour) -> int:
    return int((panel == np.array(colour)).all(axis=-1).sum())


@pytest.mark.parametrize(
    ('size', 'shown'),
    [
        ((120, 160), (240, 320)),  # enlarged by whole numbers, so that pixels stay square and sharp
        ((12, 16), (192, 256)),
        ((512, 512), (512, 512)),
        ((425, 560), (389, 512)),
        ((3000, 2000), (512, 341)),
        ((500, 20), (500, 20)),
    ],
)
def test_cell_sizes(size, shown):
    assert cell_size(*size) == shown


def test_pictures_are_whole_and_not_smoothed():
    panel = compose(
        [Column([Cell('a', plain(RED)), Cell('b', None, 'nothing')]), Column([Cell('c', plain(BLUE))])], (12, 16)
    )
    assert count(panel, RED) == count(panel, BLUE) == 192 * 256
    assert count(panel, BLANK) > 0.9 * 192 * 256
    assert (panel[:, :8] == PAPER).all()
    red_columns, blue_columns = (np.flatnonzero((panel == c).all(-1).any(0)) for c in (RED, BLUE))
    assert red_columns.max() < blue_columns.min()


def test_legends_add_height_as_needed():
    cells = [Cell('a', plain(RED))]
    bare = compose([Column(cells)], (12, 16))
    few = compose([Column(cells, [Chips([('wall', BLUE)])])], (12, 16))
    many = compose([Column(cells, [Chips([(f'a long name {i}', BLUE) for i in range(20)])])], (12, 16))
    assert bare.shape[0] < few.shape[0] < many.shape[0]
    assert count(few, BLUE) > 50
    assert count(many, BLUE) == 20 * count(few, BLUE)  # none falls outside


def test_a_bar_spans_its_colormap():
    bare = compose([Column([Cell('a', plain(RED))])], (12, 16))
    panel = compose([Column([Cell('a', plain(RED))], [Bar('gray', 0.5, 6, 'm')])], (12, 16))
    row = panel[bare.shape[0] + 2, 8 : 8 + 256]
    assert tuple(row[0]) == (0, 0, 0)
    assert tuple(row[-1]) == (255, 255, 255)


def test_long_captions_stay_in_their_column():
    panel = compose([Column([Cell('word ' * 200, plain(RED))])], (12, 16))
    assert (panel[:, -8:] == PAPER).all()
