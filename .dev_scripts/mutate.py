"""Make known mistakes in the package, one at a time, and see whether the tests of the touched module notice.

Example, some ten seconds for each mistake on one core:
    python .dev_scripts/mutate.py                      # all of .dev_scripts/mutants.json
    python .dev_scripts/mutate.py vit seed_hook        # those whose file or number contains one of these words

The list has, by module, the tests to run and the replacements; `old` occurs exactly once in the file. A replacement may
name `tests` of its own. They have to pass without any mistake first. The work is done on a copy of the tracked files;
the working tree is only read. Ends with 1 if a mistake was not noticed, or could not be tried.
"""

import argparse
import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name('mutants.json')
HEAVY = ('torch', 'numpy', 'cv2', 'mmengine', 'mmengine.runner', 'mmcv', 'mmcv.transforms', 'pytest')
HEAVY += ('numba', 'scipy.io', 'scipy.ndimage', 'matplotlib.pyplot', 'safetensors.torch')
NOTICED, UNNOTICED, BROKEN = 'noticed', 'UNNOTICED', 'BROKEN'


@dataclass(frozen=True)
class Mutant:
    """One replacement in one file, and the tests (paths or node ids) that should notice it."""

    number: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied_to(self, text: str) -> str:
        """The file's content with the mistake.

        Raises:
            ValueError: The place is not there, or not the only one.
        """
        if text.count(self.old) != 1:
            raise ValueError(
                f'{self.number}: {self.old!r} occurs {text.count(self.old)} times in {self.file}, where once was '
                f'expected. Bring {LIST.name} up to date.'
            )
        return text.replace(self.old, self.new)


def read_list(path: Path = LIST) -> list[Mutant]:
    """The mutants of a list, in its order."""
    modules = json.loads(path.read_text())
    return [
        Mutant(x['id'], x['what'], file, x['old'], x['new'], tuple(x.get('tests', module['tests'])))
        for file, module in modules.items()
        for x in module['replacements']
    ]


@contextlib.contextmanager
def copied_repository() -> Iterator[Path]:
    """A folder with what git tracks, as it is now."""
    names = subprocess.check_output(['git', 'ls-files', '-z'], cwd=REPO, text=True).split('\0')
    with tempfile.TemporaryDirectory(prefix='mutants_') as folder:
        for name in filter(None, names):
            if (REPO / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPO / name, Path(folder) / name)
        yield Path(folder)


def run_tests(folder: Path, tests: tuple[str, ...], seconds: float) -> int | None:
    """What becomes of the tests in the copy: 0 passed, 1 failed, other numbers as pytest's, None after ``seconds``."""
    child = os.fork()  # so that torch and its kin are imported once for all
    if child == 0:
        status = 3
        try:
            os.setsid()
            status = _in_child(folder, tests)
        finally:
            os._exit(status)
    return _status(child, seconds)


def _in_child(folder: Path, tests: tuple[str, ...]) -> int:
    import pytest

    os.chdir(folder)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE='1')
    with open(folder / 'pytest.log', 'w') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        return int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *tests]))


def _status(child: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    return None


def judge(folder: Path, mutant: Mutant, seconds: float) -> str:
    """NOTICED, UNNOTICED, or BROKEN where it has no place or no tests run; the copy is as before afterwards."""
    path = folder / mutant.file
    before = path.read_text()
    try:
        path.write_text(mutant.applied_to(before))
    except ValueError as error:
        print(error)
        return BROKEN
    try:
        status = run_tests(folder, mutant.tests, seconds)
    finally:
        path.write_text(before)
    return {0: UNNOTICED, 1: NOTICED, None: NOTICED}.get(status, BROKEN)  # who waits for ever has noticed, too


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('words', nargs='*', help='only mutants whose file or number contains one of them')
    parser.add_argument('--list', type=Path, default=LIST, help='file with the replacements')
    parser.add_argument('--timeout', type=float, default=300, help='seconds for the tests of one mutant')
    parser.add_argument('--trust', action='store_true', help='do not see first that the tests pass by themselves')
    args = parser.parse_args()
    chosen = lambda x: not args.words or any(word in x.file or word == x.number for word in args.words)  # noqa: E731
    mutants = [x for x in read_list(args.list) if chosen(x)]
    for name in HEAVY:
        with contextlib.suppress(ImportError):  # optional ones
            importlib.import_module(name)
    assert 'mlore_mm' not in sys.modules, 'the copy has to be imported, not the package itself'
    counts, green = dict.fromkeys((NOTICED, UNNOTICED, BROKEN), 0), {}
    with copied_repository() as folder:
        for mutant in mutants:
            if args.trust:
                green[mutant.tests] = True
            if mutant.tests not in green:
                green[mutant.tests] = run_tests(folder, mutant.tests, args.timeout) == 0
                if not green[mutant.tests]:
                    print(f'Without any mistake these do not pass: {" ".join(mutant.tests)}')
            found = judge(folder, mutant, args.timeout) if green[mutant.tests] else BROKEN
            counts[found] += 1
            print(f'{found:9} {mutant.number} {mutant.file}: {mutant.what}', flush=True)
    print(', '.join(f'{count} {name.lower()}' for name, count in counts.items()) + f', of {len(mutants)}')
    return int(counts[NOTICED] < len(mutants))


if __name__ == '__main__':
    sys.exit(main())
