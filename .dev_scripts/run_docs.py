"""Run every command that README.md and the pages print, in short, in a copy of the repository.

Example:
    python .dev_scripts/run_docs.py

First come the quickstart and what the pages take for granted (photos, a video, predictions to score), then the commands
in the order of the pages, each shortened without changing what it does: fewer rooms, two iterations. A shortened
training leaves its checkpoint also under the name that the whole training gives it, since the next commands name that.
Rooms stand for both archives. What is not run is listed with the reason. Ends with 1 where a command failed.
"""

import argparse
import multiprocessing
import os
import re
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the package `tests`

from short_commands import make_materials, name_checkpoint, reason_not_to_run, shorten

from tests.printed import REPO, Command, printed_commands

# Importing these takes most of the time of a short command. Python scripts are therefore run in processes that are
# forked from one which has imported them.
PRELOADED = ['mlore_mm.apis', 'mlore_mm.models', 'mlore_mm.datasets', 'mlore_mm.evaluation', 'mlore_mm.engine']
SHELL_WORK = re.compile(r"\n|(^|\s)[^\s'\"]*[*?]")  # loops, and patterns without quotes
SECONDS, TAIL = 600, 15  # for one command; lines of the log of one that failed


@dataclass
class Outcome:
    """What became of a command: 'ok', 'not run' or 'FAILED'; seconds; why it was not run, or the end of its log."""

    mark: str
    seconds: float = 0.0
    note: str = ''


class Shell:
    """Runs commands in a folder, as in a terminal with the environment activated. Logs go to ``logs`` there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.env = dict(
            PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
            PYTHONPATH=str(folder),
            OMP_NUM_THREADS='1',
            PORT=str(free_port()),
        )
        os.environ.update(self.env)
        os.chdir(folder)
        sys.path.insert(0, str(folder))  # before the repository: the processes take their code from the copy
        self.processes = multiprocessing.get_context('forkserver')
        self.processes.set_forkserver_preload(PRELOADED)
        (folder / 'logs').mkdir(exist_ok=True)

    def run(self, text: str) -> Outcome:
        """A command, of one line or a loop."""
        start, log = time.monotonic(), self.new_log()
        variables, words = Command.words(text)
        if 'demo/app.py' in words:
            code = serve(text, log)
        elif re.match(r'python (tools|demo|docs)/', ' '.join(words)) and not SHELL_WORK.search(text):
            code = self.fork(run_script, words[1:], self.complete(variables), log)
        else:
            code = run_bash(text, log)
        seconds = time.monotonic() - start
        if code == 0:
            return Outcome('ok', seconds)
        tail = log.read_text(errors='replace').splitlines()[-TAIL:] if log.exists() else []
        return Outcome('FAILED', seconds, '\n'.join([f'$ {text}', *tail, f'[ended with {code}]']))

    def fork(self, target: Callable, *args) -> int | None:
        """The exit code of a function run in a process that has imported the slow modules, below 0 if it was killed."""
        process = self.processes.Process(target=target, args=args)
        process.start()
        process.join(SECONDS)
        process.kill()
        return process.exitcode

    def complete(self, variables: dict[str, str]) -> dict[str, str]:
        """With the copy on the path as well, where a command sets the path."""
        path = variables.get('PYTHONPATH')
        return {**variables, 'PYTHONPATH': f'{path}{os.pathsep}{self.folder}'} if path else variables

    def new_log(self) -> Path:
        self.count += 1
        return self.folder / 'logs' / f'{self.count:03}.txt'


def run_script(words: list[str], variables: dict[str, str], log: Path) -> None:
    """What ``VARIABLES python WORDS`` does, in this process."""
    # The method of a new interpreter; this one has its parent's, with which every worker would import everything.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    with log.open('w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(variables)
    sys.argv = words
    sys.path[:0] = [str(Path(words[0]).resolve().parent), *filter(None, variables.get('PYTHONPATH', '').split(':'))]
    runpy.run_path(words[0], run_name='__main__')


def run_bash(text: str, log: Path) -> int | None:
    """The exit code of a command line; None where it took too long."""
    with log.open('w') as file:
        shell = subprocess.Popen(['bash', '-c', text], stdout=file, stderr=file, start_new_session=True)
    try:
        return shell.wait(SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)  # with all that it started
        return None


def serve(text: str, log: Path) -> int:
    """Start a server, ask it for its page, and stop it; 0 if it answered."""
    port = free_port()
    with log.open('w') as file:
        server = subprocess.Popen(shlex.split(f'{text} --port {port}'), stdout=file, stderr=file)
    try:
        for _ in range(SECONDS):
            time.sleep(1)
            if server.poll() is not None:
                return server.returncode or 1
            with suppress(OSError), urllib.request.urlopen(f'http://127.0.0.1:{port}', timeout=30) as page:
                return 0 if page.status == 200 else 1
        return 1
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repo', type=Path, default=REPO, help=argparse.SUPPRESS)
    parser.add_argument('--work', type=Path, metavar='DIR', help='keep the copy here, and go on from what is there')
    parser.add_argument('--only', metavar='REGEX', default='', help='commands with this in "page: command" only')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    scratch = (args.work or Path(tempfile.mkdtemp(prefix='run_docs_'))).resolve()
    try:
        outcomes = run_all(args.repo.resolve(), scratch, args.only)
    finally:
        if not args.work:
            shutil.rmtree(scratch, ignore_errors=True)
    counts = {mark: sum(x.mark == mark for x in outcomes) for mark in ('ok', 'not run', 'FAILED')}
    print(', '.join(f'{count} {mark}' for mark, count in counts.items()))
    return 1 if counts['FAILED'] or not counts['ok'] else 0


def run_all(repo: Path, scratch: Path, only: str) -> list[Outcome]:
    copy_repository(repo, scratch)
    shell, outcomes, done = Shell(scratch), [], {}
    if not Path('photos').exists() and shell.fork(make_materials) != 0:
        sys.exit('error: what the pages take for granted could not be made')
    for command in printed_commands(repo):
        if re.search(only, f'{command.page}: {command.text}'):
            outcome = run_command(shell, command, done)
            outcomes.append(outcome)
            report(command, outcome)
    return outcomes


def run_command(shell: Shell, command: Command, done: dict[str, Outcome]) -> Outcome:
    """Shorten it and run it, unless there is a reason not to, or a page before has printed the same."""
    text = command.text
    for line in command.lines:
        if reason := reason_not_to_run(line):
            return Outcome('not run', note=reason)
        text = text.replace(line, shorten(line))
    if text in done:
        return Outcome(done[text].mark, note='as before')
    done[text] = shell.run(text)
    if done[text].mark == 'ok':
        for line in command.lines:
            name_checkpoint(line, shell.folder)
    return done[text]


def report(command: Command, outcome: Outcome) -> None:
    lines = [' '.join(re.sub(r'\s#.*', '', line).split()) for line in command.text.splitlines()]
    text = '; '.join(lines).replace('do;', 'do')
    failed = outcome.mark == 'FAILED'
    note = f'   # {outcome.note}' if outcome.note and not failed else ''
    print(f'{outcome.mark:<7} {outcome.seconds:>4.0f} s  {command.page}: {text}{note}', flush=True)
    if failed:
        print(textwrap.indent(outcome.note, ' ' * 16), flush=True)


def copy_repository(repo: Path, scratch: Path) -> None:
    """Files that git tracks or would; all files where there is no git."""
    listed = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=repo, capture_output=True
    )
    files = listed.stdout.decode().split('\0') if listed.returncode == 0 else [
        path.relative_to(repo).as_posix() for path in repo.rglob('*')]  # fmt: skip
    for name in files:
        if (repo / name).is_file():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repo / name, scratch / name)


if __name__ == '__main__':
    sys.exit(main())
