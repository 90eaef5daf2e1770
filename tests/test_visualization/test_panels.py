import numpy as np
import pytest

from mlore_mm.visualization import Bar, Cell, Chips, Column, compose
from mlore_mm.visualization.panels import BLANK, PAPER, STRIPES, _Layout, cell_size, stripes

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


def test_a_panel_by_hand():
    """8 pixels of margin, a line of 18 for the caption, cells of 256 x 192, no legends."""
    panel = compose([Column([Cell('', plain(RED)), Cell('', plain(BLUE))]), Column([Cell('', plain(RED))])], (12, 16))
    assert panel.shape == (8 + 2 * (18 + 192 + 8), 8 + 2 * (256 + 8), 3)
    assert (panel[8 + 18 : 8 + 18 + 192, 8 : 8 + 256] == RED).all()
    assert (panel[226 + 18 + 8 - 8 : 226 + 18 + 192, 8 : 8 + 256] == BLUE).all()
    assert count(panel, RED) == 2 * 192 * 256
    assert (panel[26:218, 272:528] == RED).all()


def test_large_pictures_are_averaged_and_small_ones_repeated():
    checkers = (np.indices((1024, 1024)).sum(axis=0) % 2 * 200).astype(np.uint8)[..., None].repeat(3, axis=2)
    grey = compose([Column([Cell('', checkers)])], (1024, 1024))
    assert count(grey, (100,) * 3) > 0.99 * 512 * 512
    dots = np.zeros((2, 2, 3), np.uint8)
    dots[0, 0] = RED
    assert count(compose([Column([Cell('', dots)])], (2, 2)), RED) == 128 * 128


def test_stripes_are_diagonal():
    pattern = stripes(6, 6)
    assert pattern.dtype == np.uint8
    assert [tuple(x) for x in pattern[0]] == [STRIPES[0]] * 2 + [STRIPES[1]] * 2 + [STRIPES[0]] * 2
    np.testing.assert_array_equal(pattern[1, :-1], pattern[0, 1:])
    assert [tuple(x) for x in stripes(640, 9)[[0, 9, 10, 19, 20], 0]] == [STRIPES[i] for i in (0, 0, 1, 1, 0)]


def test_text_is_cut_to_what_fits():
    layout = _Layout(256)
    short = layout._shorten('a caption that is far too long for its cell', 100)
    assert short.endswith('…')
    assert layout.font.getlength(short) <= 100 < layout.font.getlength(short[:-1] + 'mm')
    assert layout._shorten('abc', 100) == 'abc'
    assert layout._shorten('a', 0) == 'a'
    assert (layout.font.size, layout.line, layout.margin) == (13, 18, 8)
    assert (_Layout(512).font.size, _Layout(512).margin, _Layout(9).width) == (22, 10, 128)


def test_chips_go_on_in_the_next_line():
    layout = _Layout(256)
    lines = layout._chip_lines(Chips([('wall', RED), ('floor', BLUE), ('w' * 90, RED), ('bed', None)]))
    assert [[name[:3] for _, name, _ in line] for line in lines] == [['wal', 'flo'], ['www'], ['bed']]
    assert [line[0][0] for line in lines] == [0, 0, 0]
    assert lines[0][1][0] == layout.line + int(layout.font.getlength('wall')) + layout.margin
    assert layout.height_of(Chips([])) == layout.height_of(Chips([('a', RED)])) == 18 + 4
    assert layout.height_of(Bar('gray', 0, 1, '')) == 2 * 18 + 4


def test_a_chip_without_a_colour_is_striped_and_notes_lie_on_pictures():
    cells = [Cell('', plain(RED), 'note')]
    panel = compose([Column(cells, [Chips([('ignored', None)])])], (12, 16))
    assert count(panel, STRIPES[0]) > 30
    assert count(panel, STRIPES[1]) > 30
    assert count(panel[26:218, 8:264], PAPER) > 100  # behind the note
    assert count(panel, RED) < 192 * 256
