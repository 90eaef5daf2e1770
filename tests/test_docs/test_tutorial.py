import runpy

from tests.shared import REPO


def test_tutorial_runs(tmp_path, monkeypatch, capsys):
    for name, value in dict(OUT=tmp_path, STEPS=2, ROOMS=4).items():
        monkeypatch.setenv(f'TUTORIAL_{name}', str(value))
    monkeypatch.chdir(REPO)
    runpy.run_path('docs/tutorial.py', run_name='__main__')
    printed = capsys.readouterr().out
    for words in ('measured by odsF', 'trivial', 'median', 'busiest expert'):
        assert words in printed
    assert (tmp_path / 'panel.png').stat().st_size > 1000
