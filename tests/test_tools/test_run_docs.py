import re
import runpy
import subprocess
import sys

import pytest

from tests.printed import Command, printed_commands, split_block
from tests.shared import REPO

LINES = sorted({line for command in printed_commands() for line in command.lines})


@pytest.fixture(scope='module')
def rules():
    return runpy.run_path(str(REPO / '.dev_scripts/short_commands.py'))


@pytest.mark.parametrize('line', LINES)
def test_every_command_of_the_pages_has_a_short_form_or_a_reason(rules, line):
    if rules['reason_not_to_run'](line):
        return
    short = rules['shorten'](line)
    assert not re.search(r'\s(CONFIG|CHECKPOINT|GPUS|DIR|PRED_DIR|GT_DIR|SRC|DST)\b', short)
    added = short.replace('TUTORIAL_STEPS=2 TUTORIAL_ROOMS=4 ', '')
    script = Command.words(line)[1][1]
    assert Command.words(added)[1][1] == script
    if re.search(r'/(dist_)?train\.(py|sh)', script):
        assert 'train_cfg.max_iters=2' in short or '--fast-dev-run' in short


def test_what_a_command_says_is_kept(rules):
    shorten = rules['shorten']
    train = "python tools/train.py c.py --cfg-options data_root='my data'   # a remark"
    assert shorten(train).startswith('python tools/train.py c.py --cfg-options train_cfg.max_iters=2 ')
    assert shorten(train).endswith(" data_root='my data'")
    assert (
        shorten("python demo/image_demo.py 'photos/*.jpg' CONFIG CHECKPOINT --out DIR").split()[2] == "'photos/*.jpg'"
    )
    score = shorten('python tools/analysis_tools/eval_boundary.py PRED_DIR GT_DIR --dataset nyud')
    assert 'theirs/nyud data/NYUDv2/edge' in score


def test_loops_and_broken_lines_are_one_command():
    block = '# remark\nfor x in a b; do\n    echo $x\ndone\nls \\\n  -l\n'
    loop, listing = split_block(block)
    assert Command('page', loop).lines == ['echo $x']
    assert listing.split() == ['ls', '-l']


def test_table_and_exit_code(tmp_path):
    repo, work = tmp_path / 'repo', tmp_path / 'work'
    (repo / 'tools').mkdir(parents=True)
    (work / 'photos').mkdir(parents=True)  # nothing has to be made
    (repo / 'tools' / 'note.py').write_text('import sys, pathlib\npathlib.Path("note").write_text(sys.argv[1])\n')
    loop = 'for x in 1 2; do\n    test -f note && echo $x >>count\ndone\n'
    good = f'python tools/note.py "a b"   # writes\n{loop}pip install x\n'
    run = [sys.executable, str(REPO / '.dev_scripts/run_docs.py'), '--repo', str(repo), '--work', str(work)]

    (repo / 'README.md').write_text(f'```bash\n{good}```\n')
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / 'note').read_text() == 'a b'
    assert (work / 'count').read_text() == '1\n2\n'
    assert not (repo / 'note').exists()
    assert done.stdout.splitlines()[-1] == '2 ok, 1 not run, 0 FAILED'
    assert 'pip install x   # installs packages' in done.stdout

    (repo / 'README.md').write_text('```bash\npython -c "raise SystemExit(\'it broke\')"\n```\n')
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'FAILED' in done.stdout
    assert 'it broke' in done.stdout
