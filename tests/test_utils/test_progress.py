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


def test_a_line_by_a_clock_of_our_own(monkeypatch):
    clock = iter([10.0, 13.0, 16.0, 20.0])
    monkeypatch.setattr('time.monotonic', lambda: next(clock))
    terminal = Terminal()
    line = ProgressLine('a', stream=terminal)
    for done in (0, 1, 4):
        line(done, 4)
    texts = [text.rstrip() for text in terminal.getvalue().split('\r')[1:]]
    assert texts == [
        f'a [{"":30}] 0/4 images, 3 s, 12 s left',
        f'a [{"#" * 7:30}] 1/4 images, 6 s, 18 s left',
        f'a [{"#" * 30}] 4/4 images, 10 s',
    ]
    assert terminal.getvalue().endswith(' \n')


def test_a_log_hears_nothing_below_a_tenth():
    log = io.StringIO()
    line = ProgressLine('a', 'files', log)
    line(9, 100)
    assert log.getvalue() == ''
    line(10, 100)
    line(19, 100)
    assert log.getvalue().count('\n') == 1
    assert '\r' not in log.getvalue()
