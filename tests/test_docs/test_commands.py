"""What README and docs print can be run: scripts exist, options parse, Python compiles, links lead somewhere."""

import ast
import importlib
import re
import runpy
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.shared import REPO

PAGES = sorted(
    path for pattern in ('README.md', 'docs/*.md', 'configs/*/README.md') for path in REPO.glob(pattern)
)  # fmt: skip
FENCE = re.compile(r'^```(?: \{ \.)?(\w*)(?: \})?\n(.*?)^```', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r'`((?:\w+=\S+ )*(?:python|bash) (?:tools|demo|docs|benchmarks)/[^`]+)`')
LINK = re.compile(r'\]\(([^)\s]+)\)')
OURS = re.compile(r'^(configs|tools|docs|demo|tests|benchmarks|requirements)/[\w./-]+$')
REAL_DATA = re.compile(r'data/(NYUDv2|PASCALContext|camvid)\b|configs/mlore/(?!\w*synthrooms)[\w-]+\.py')
READS_DATA = re.compile(r'/(train|test|dist_\w+|slurm_\w+|browse_dataset|routing|check_dataset|bake_\w+)\.(py|sh)$')
NOT_OURS = ('pip', 'source', 'mim', 'ln', 'cd', 'git', 'for', 'done')
LAUNCHERS = {'tools/dist_train.sh': 'train', 'tools/dist_test.sh': 'test', 'tools/quickstart.sh': 'quickstart'}


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """(text before the block, block) of the fenced blocks in these languages."""
    text = page.read_text(encoding='utf-8')
    return [(text[max(found.start() - 300, 0) : found.start()], found[2]) for found in FENCE.finditer(text)
            if found[1] in languages]  # fmt: skip


def command_lines(block: str) -> list[str]:
    return [line for line in block.replace('\\\n', ' ').splitlines() if line.strip() and not line.startswith('#')]


def printed_commands() -> list:
    found = []
    for page in PAGES:
        name = page.relative_to(REPO).as_posix()
        for before, block in blocks(page, 'bash', 'shell', 'console'):
            found += [pytest.param(line, before + block, id=f'{name}: {line[:60]}') for line in command_lines(block)]
        for found_inline in INLINE.finditer(FENCE.sub('', page.read_text(encoding='utf-8'))):
            line = ' '.join(found_inline[1].split())
            found.append(pytest.param(line, '', id=f'{name}: {line[:60]}'))
    return found


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


@pytest.mark.parametrize(('line', 'around'), printed_commands())
def test_command(line, around, monkeypatch, capsys):
    words = shlex.split(line, comments=True)
    while words and re.match(r'^\w+=', words[0]):
        words.pop(0)
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
    links = [link.split('#')[0] for link in LINK.findall(FENCE.sub('', page.read_text(encoding='utf-8')))]
    broken = [link for link in links if link and '://' not in link and not (page.parent / link).exists()]
    assert not broken
