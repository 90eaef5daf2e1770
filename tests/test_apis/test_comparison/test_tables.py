"""The table as a page and as CSV."""

from mlore_mm.apis.comparison.results import Row
from mlore_mm.apis.comparison.tables import csv_text, format_cost, format_score, markdown, runs_text, task_title
from tests.test_apis.test_comparison.rows import TASKS, score, two_rows


def test_the_numbers_in_full_and_in_a_page():
    lines = csv_text(two_rows(), TASKS).splitlines()
    names = 'data,encoder,budget,system,done,planned,failed,a/IoU,a/IoU std,b/RMSE,b/RMSE std,delta_m,delta_m std'
    assert lines == [
        f'{names},trainable,frozen,gmacs,latency_ms,peak_memory,training_s',
        'd,e,b,x,2,4,1,60.0,2.0,0.5,,-1.5,0.25,2000000.0,,,,,',
        'd,e,b,y,0,1,0,,,,,,,,,0.0,,,',
    ]
    page = markdown('t', two_rows(), TASKS, 'cpu')
    for line in (
        '| system | runs | a IoU ↑ | b RMSE m ↓ | delta_m % | trained M | frozen M | GMACs | latency ms',
        '| x | 2, 1 failed, 1 to do | 60.00 ± 2.00 | 0.500 | -1.50 ± 0.25 | 2 | - | - | - | - | - |',
        '| y | 0, 1 to do | - | - | - | - | - | 0 | - | - | - |',
        'data d; encoder e; budget b.',
        'training process on cpu.',
        '- x, seed 3: no memory',
    ):
        assert line in page, line
    other = Row('d', 'f', 'b', 'y', failures=[('y', 'z')], planned=1)
    page = markdown('t', [two_rows()[0], other], TASKS)
    assert '| encoder | system |' in page
    assert '| f | y | 0, 1 failed | failed | failed | failed |' in page
    assert 'training process.' in page
    assert 'Failed runs' not in markdown('t', two_rows()[1:], TASKS)
    assert 'Not equal in training:\n\n- batch size\n' in markdown('t', two_rows()[1:], TASKS, unequal=['batch size'])


def test_numbers_of_cells():
    assert [format_score(score(x, 1.0)) for x in (9.9999, 10.0, -10.0)] == [
        '10.000 ± 1.000',
        '10.00 ± 1.00',
        '-10.00 ± 1.00',
    ]
    assert [format_score(None, text) for text in ('-', 'failed')] == ['-', 'failed']
    cells = [format_cost(*x) for x in ((None, 1), (0, 1), (99.94, 1), (100, 1), (1234567, 1e-6), (90, 1 / 60))]
    assert cells == ['-', '0', '99.9', '100', '1.23', '1.5']
    assert runs_text(Row('d', 'e', 'b', 'x', done=2, planned=2)) == '2'
    assert task_title('a', TASKS['a']) == 'a IoU ↑'
