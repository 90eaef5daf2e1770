"""Finds what README.md, docs/*.md and configs/*/README.md print: fenced blocks, and commands in them and in text."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PATTERNS = ('README.md', 'docs/*.md', 'configs/*/README.md')
FENCE = re.compile(r'^```(?: \{ \.)?(\w*)(?: \})?\n(.*?)^```', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r'`((?:\w+=\S+ )*(?:python|bash) (?:tools|demo|docs|benchmarks)/[^`]+)`')
# Commands that read a data set, and arguments that name one which cannot be made here.
READS_DATA = re.compile(r'/(train|test|dist_\w+|slurm_\w+|browse_dataset|routing|check_dataset|bake_\w+)\.(py|sh)$')
REAL_DATA = re.compile(r'data/(NYUDv2|PASCALContext|camvid)\b|configs/mlore/(?!\w*synthrooms)[\w-]+\.py')


@dataclass(frozen=True)
class Command:
    """One command as printed; a loop is one command of several lines.

    Args:
        page: Path from the repository's root.
        text: What is printed, with broken lines joined.
        around: The text before its block and the block; empty for a command within a sentence.
    """

    page: str
    text: str
    around: str = ''

    @property
    def lines(self) -> list[str]:
        """Its simple commands, without the words of a loop."""
        return [line.strip() for line in self.text.splitlines() if not re.match(r'\s*(for|done)\b', line)]

    @staticmethod
    def words(line: str) -> tuple[dict[str, str], list[str]]:
        """The variables set before a simple command, and its words without them and without its comment."""
        words, variables = shlex.split(line, comments=True), {}
        while words and re.match(r'^\w+=', words[0]):
            name, _, value = words.pop(0).partition('=')
            variables[name] = value
        return variables, words


def find_pages(root: Path = REPO) -> list[Path]:
    """README first, then the pages by name."""
    return [path for pattern in PATTERNS for path in sorted(root.glob(pattern))]


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """(text before the block, block) of the fenced blocks in these languages."""
    text = page.read_text(encoding='utf-8')
    return [(text[max(found.start() - 300, 0) : found.start()], found[2]) for found in FENCE.finditer(text)
            if found[1] in languages]  # fmt: skip


def without_blocks(page: Path) -> str:
    return FENCE.sub('', page.read_text(encoding='utf-8'))


def split_block(block: str) -> list[str]:
    """Its commands: lines, with those that end in a backslash joined, and loops from ``for`` to ``done``."""
    lines = [x for x in block.replace('\\\n', ' ').splitlines() if x.strip() and not x.startswith('#')]
    commands, loop = [], []
    for line in lines:
        if loop or line.startswith('for '):
            loop.append(line)
            if line.startswith('done'):
                commands.append('\n'.join(loop))
                loop = []
        else:
            commands.append(line)
    return commands + ['\n'.join(loop)] * bool(loop)


def printed_commands(root: Path = REPO) -> list[Command]:
    """All of them: by page, those of blocks first."""
    found = []
    for page in find_pages(root):
        name = page.relative_to(root).as_posix()
        for before, block in blocks(page, 'bash', 'shell', 'console'):
            found += [Command(name, text, before + block) for text in split_block(block)]
        found += [Command(name, ' '.join(text.split())) for text in INLINE.findall(without_blocks(page))]
    return found
