"""The whole of a config, and the file that mmsegmentation's own test script runs with our numbers."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from tests.shared import REPO
from tests.tiny import write_rooms, write_tiny

SCRIPT = REPO / 'tools' / 'misc' / 'print_config.py'


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a script as a command line would; returns what it printed."""

    def run(script: Path, *args) -> str:
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args)])
        try:
            runpy.run_path(str(script), run_name='__main__')
        except SystemExit as end:
            if end.code:
                raise
        return capsys.readouterr().out

    return run


def test_what_is_printed_reads_back_as_the_config(tmp_path, run):
    source = REPO / 'configs' / 'mlore' / 'mlore_tiny_synthrooms_nyud.py'
    printed = tmp_path / 'printed.py'
    printed.write_text(run(SCRIPT, source, '--cfg-options', 'tasks.edge.loss_weight=20'))
    found, wanted = Config.fromfile(printed), Config.fromfile(source)
    assert found.tasks.edge.loss_weight == 20
    assert found.pop('launcher') == 'none'
    assert found.pop('work_dir') == 'work_dirs/mlore_tiny_synthrooms_nyud'
    del found.tasks.edge.loss_weight  # the default of the task stands in no config
    assert found.to_dict() == wanted.to_dict()
    assert list(found.tasks) == list(wanted.tasks)


def test_script_of_mmsegmentation_tests_the_bound_config(tmp_path, run):
    config, checkpoint = write_tiny(tmp_path, write_rooms(tmp_path / 'rooms', 2))
    ours, theirs, bound = tmp_path / 'ours', tmp_path / 'theirs', tmp_path / 'bound.py'
    few = ('--cfg-options', 'eval_tasks=[depth,semseg]')
    assert str(bound) in run(SCRIPT, config, '--bound', bound, *few)
    script = tmp_path / 'their_test.py'
    shutil.copy(Path(mmseg.__file__).parent / '.mim' / 'tools' / 'test.py', script)
    run(script, bound, checkpoint, '--work-dir', theirs)
    run(REPO / 'tools' / 'test.py', config, checkpoint, '--work-dir', ours, *few)
    numbers = [json.loads(next(x.rglob('evaluation.json')).read_text())['results'] for x in (ours, theirs)]
    assert {name.split('/')[0] for name in numbers[0]} == {'depth', 'semseg'}
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(('name', 'message'), [('bound.json', 'writes a Python file'), ('tiny.py', 'write over')])
def test_names_that_do_not_fit_are_refused(tmp_path, run, capsys, name, message):
    config = tmp_path / 'tiny.py'
    config.write_text("tasks = dict(depth=dict(type='Depth'))\n")
    with pytest.raises(SystemExit):
        run(SCRIPT, config, '--bound', tmp_path / name)
    assert message in capsys.readouterr().err
    assert 'Depth' in config.read_text()
