import io

from mlore_mm.utils.progress import ProgressLine, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_per_tenth():
    log = io.StringIO()
    line = ProgressLine('train', 'iterations', log)
    for done in range(1, 701):
        line(done, 700)
    lines = log.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[4].startswith('train [###############               ] 350/700 iterations, ')
    assert 's left' not in lines[-1]


def test_a_terminal_gets_one_line_that_leaves_no_rest():
    terminal = Terminal()
    line = ProgressLine('a', stream=terminal)
    line(1, 3)
    line(2, 3)
    line(3, 3)
    text = terminal.getvalue()
    assert text.count('\n') == 1
    shown = text.strip('\n').split('\r')[1:]
    assert len(shown) == 3
    assert len(shown[2]) >= len(shown[1])  # blanks cover what was there


def test_track_passes_the_items_on():
    assert list(track(iter('abc'), 3, 'letters')) == ['a', 'b', 'c']
