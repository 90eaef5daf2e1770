import cv2
import numpy as np

from mlore_mm.utils.thinning_rule import DELETABLE

RIGHT, UP_RIGHT, UP, UP_LEFT, LEFT, DOWN_LEFT, DOWN, DOWN_RIGHT = (1 << i for i in range(8))


def test_what_stays_in_both_passes():
    kept = {
        'alone': 0,
        'inside': 255,
        'end of a line': RIGHT,
        'on a line': LEFT | RIGHT,
        'a junction': LEFT | RIGHT | UP,
        'diagonal': UP_LEFT | DOWN_RIGHT,
    }
    assert not {name: DELETABLE[:, code] for name, code in kept.items() if DELETABLE[:, code].any()}


def test_opposite_borders_go_in_turns():
    """Each border goes in one pass and its opposite in the other, so that a bar keeps its middle."""
    bottom, top = LEFT | RIGHT | UP_LEFT | UP | UP_RIGHT, LEFT | RIGHT | DOWN_LEFT | DOWN | DOWN_RIGHT
    right, left = UP | DOWN | UP_LEFT | LEFT | DOWN_LEFT, UP | DOWN | UP_RIGHT | RIGHT | DOWN_RIGHT
    for one, other in ((bottom, top), (left, right)):
        assert DELETABLE[:, one].sum() == DELETABLE[:, other].sum() == 1
        assert DELETABLE[:, one].tolist() == DELETABLE[::-1, other].tolist()


def test_passes_mirror_each_other():
    turned = [code >> 4 | (code & 15) << 4 for code in range(256)]  # by half a turn
    assert DELETABLE[0].tolist() == DELETABLE[1][turned].tolist()


def test_it_is_a_table_of_bytes():
    """Filters over whole images look pixels up in it and combine the answers bit by bit."""
    assert (DELETABLE.dtype, DELETABLE.shape) == ('uint8', (2, 256))
    assert set(DELETABLE.ravel().tolist()) == {0, 1}


def test_the_rule_of_the_paper_for_every_neighbourhood():
    """Deleted where the neighbours are one 8-connected group that is no ring, fill 2 or 3 of the 4 pairs at least, and
    do not bar the sub-pass: with right set, one of the two above or no down-right; half a turn later with left."""
    places = [(1, 2), (0, 2), (0, 1), (0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]
    for code in range(256):
        ring = np.zeros((3, 3), np.uint8)
        bits = np.array([code >> i & 1 for i in range(8)])
        for place, bit in zip(places, bits, strict=True):
            ring[place] = bit
        groups = cv2.connectedComponents(ring, connectivity=8)[0] - 1
        closed = bits[::2].all()
        filled = min(np.roll(bits, -shift).reshape(4, 2).any(axis=1).sum() for shift in (0, 1))
        for turn in (0, 4):
            right, above_right, above, *_, below_right = np.roll(bits, -turn)
            barred = right and (above_right or above or not below_right)
            expected = groups == 1 and not closed and filled in (2, 3) and not barred
            assert DELETABLE[turn // 4, code] == expected, (turn, code)
