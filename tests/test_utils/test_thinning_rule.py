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
