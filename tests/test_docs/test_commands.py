"""What README and docs print can be run: scripts exist, options parse, Python compiles, links lead somewhere."""

import ast
import importlib
import re
import runpy
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.printed import READS_DATA, REAL_DATA, Command, blocks, find_pages, printed_commands, without_blocks
from tests.shared import REPO

PAGES = find_pages()
LINK = re.compile(r'\]\(([^)\s]+)\)')
OURS = re.compile(r'^(configs|tools|docs|demo|tests|benchmarks|requirements)/[\w./-]+$')
NOT_OURS = ('pip', 'source', 'mim', 'ln', 'cd', 'git', 'export')
LAUNCHERS = {'tools/dist_train.sh': 'train', 'tools/dist_test.sh': 'test', 'tools/quickstart.sh': 'quickstart'}


def lines() -> list:
    return [
        pytest.param(line, command.around, id=f'{command.page}: {line[:60]}')
        for command in printed_commands()
        for line in command.lines
    ]


@cache
def script(path: str) -> dict:
    """The namespace of a script, imported and not run."""
    return runpy.run_path(str(REPO / path), run_name='docs')


def parse(path: str, arguments: list[str], monkeypatch) -> None:
    """Let the script's own parser read the arguments; it exits where it does not know an option."""
    if 'argparse' not in (REPO / path).read_text(encoding='utf-8'):
        return
    monkeypatch.syspath_prepend(str(REPO / Path(path).parent))  # as for a script that is run
    monkeypatch.setattr(sys, 'argv', [path, *arguments])
    namespace = script(path)
    if 'parse_args' in namespace:
        namespace['parse_args']()
        return
    monkeypatch.setattr(sys, 'argv', [path, '--help'])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPO / path), run_name='__main__')
    assert end.value.code == 0


@pytest.mark.parametrize(('line', 'around'), lines())
def test_command(line, around, monkeypatch, capsys):
    _, words = Command.words(line)
    if not words:
        return
    missing = [word for word in words if OURS.match(word) and not (REPO / word).exists()]
    assert not missing, f'{missing} of this command are not in the repository'
    if words[0] in NOT_OURS:
        return
    assert words[0] in ('python', 'bash'), f'a kind of command that this test does not know: {words[0]}'
    if words[1].startswith('-'):  # python -c, python -m
        return
    path, arguments = words[1], words[2:]
    if around and READS_DATA.search(path) and REAL_DATA.search(line):
        assert re.search(r'\bneeds?\b', around), 'say that this needs the real data, in the block or before it'
    if words[0] == 'python' and (arguments or around):
        parse(path, arguments, monkeypatch)
    elif path in LAUNCHERS and arguments:
        tool = LAUNCHERS[path]
        positional = dict(train=1, test=2, quickstart=0)[tool]
        arguments = arguments[:positional] + arguments[positional + (tool != 'quickstart') :]  # without the count
        parse(f'tools/{tool}.py', arguments, monkeypatch)


def python_blocks() -> list:
    return [
        pytest.param(page, block, id=f'{page.relative_to(REPO).as_posix()}: {block.strip().splitlines()[0][:50]}')
        for page in PAGES
        for _, block in blocks(page, 'python')
    ]


@pytest.mark.parametrize(('page', 'block'), python_blocks())
def test_python_block(page, block):
    included = re.match(r'--8<-- "(.+)"', block)
    assert included or '8<' not in block, 'a broken inclusion; its fence has to be ``` { .python } for ruff'
    if included:
        block = (REPO / 'docs' / included[1]).read_text(encoding='utf-8')
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith('mlore_mm'):
            module = importlib.import_module(node.module)
            unknown = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not unknown, f'{node.module} has no {unknown}'


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_links_lead_somewhere(page):
    links = [link.split('#')[0] for link in LINK.findall(without_blocks(page))]
    broken = [link for link in links if link and '://' not in link and not (page.parent / link).exists()]
    assert not broken
