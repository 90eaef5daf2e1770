"""Runs of a comparison as processes, one after the other; what is done stays done, what is half done goes on."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlore_mm.apis.comparison.plan import Run, set_iterations
from mlore_mm.utils.config_text import OrderedConfig
from mlore_mm.utils.whole_files import write_whole

LOG = 'output.log'
_LAST_LINES = 40


def state_of(run: Run, work_dir: str | Path) -> str:
    """'done', 'failed', 'half done' or 'to do'."""
    folder = run.folder(work_dir)
    if read_json(folder / 'result.json'):
        return 'done'
    if read_json(folder / 'failed.json'):
        return 'failed'
    return 'half done' if any(folder.glob('*.pth')) else 'to do'


def outcome(run: Run, work_dir: str | Path) -> dict:
    """What the run wrote; ``dict(status='missing')`` where it was not run to its end."""
    folder = run.folder(work_dir)
    return read_json(folder / 'result.json') or read_json(folder / 'failed.json') or dict(status='missing')


def execute(run: Run, work_dir: str | Path) -> dict:
    """Train and evaluate in a new process, from the newest checkpoint of the run's folder on; what came out.

    A run that failed before is tried again. Its output goes to ``output.log`` in the folder.
    """
    folder = run.folder(work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'failed.json').unlink(missing_ok=True)
    cfg = OrderedConfig.from_config(copy.deepcopy(run.cfg))
    if run.seconds is not None:
        times = probe(run, work_dir)
        if 'reason' in times:
            return _failed(folder, times['reason'])
        set_iterations(cfg, max(1, int(run.seconds / times['iteration_s'])))
    _write_config(cfg, folder)
    code = _call([str(folder)], folder / LOG)
    if read_json(folder / 'result.json'):
        return outcome(run, work_dir)
    return read_json(folder / 'failed.json') or _failed(folder, _explain(code, folder / LOG))


def probe(run: Run, work_dir: str | Path) -> dict:
    """What ten iterations of a run of this recipe took, see :func:`worker.probe`; ``dict(reason=...)`` if it fails."""
    file = Path(work_dir) / 'probes' / f'{run.recipe[:12]}.json'
    known = read_json(file)
    if known:
        return known
    folder = Path(work_dir) / 'probes' / run.recipe[:12]
    folder.mkdir(parents=True, exist_ok=True)
    _write_config(OrderedConfig.from_config(copy.deepcopy(run.cfg)), folder)
    start = time.monotonic()
    code = _call([str(folder), '--probe'], folder / LOG)
    found = read_json(folder / 'probe.json')
    if not found:
        failed = read_json(folder / 'failed.json')
        return dict(reason=failed['reason'] if failed else _explain(code, folder / LOG))
    trained = 10 * found['iteration_s'] + 4 * found['image_s']
    found['start_s'] = max(found['start_s'], time.monotonic() - start - trained)  # with Python's own start
    write_whole(file, json.dumps(found))
    shutil.rmtree(folder, ignore_errors=True)
    return found


def estimate(run: Run, times: dict) -> float:
    """Seconds of a whole run, from its probe."""
    if run.seconds is not None:
        training = run.seconds
    else:
        training = run.cfg.train_cfg.max_iters * times['iteration_s']
    return times['start_s'] + training + times['images'] * times['image_s']


@contextmanager
def ending_softly() -> Iterator[None]:
    """SIGTERM ends the program as an interruption from the keyboard does, so that it takes its child along."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def read_json(path: Path) -> dict | None:
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        return content if isinstance(content, dict) else None
    return None


def _call(arguments: list[str], log: Path, popen: Callable = subprocess.Popen) -> int:
    """The exit code of the worker. It is asked to save and end where this process is ended meanwhile."""
    command = [sys.executable, '-m', 'mlore_mm.apis.comparison.worker', *arguments]
    paths = [str(Path(__file__).resolve().parents[3]), os.environ.get('PYTHONPATH')]
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))}
    with log.open('ab') as file:
        child = popen(command, stdout=file, stderr=subprocess.STDOUT, env=env)
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()  # PreemptionHook saves
                with suppress(subprocess.TimeoutExpired):
                    child.wait(60)
                child.kill()


def _write_config(cfg: OrderedConfig, folder: Path) -> None:
    write_whole(folder / 'config.py', cfg.pretty_text, lasting=False)


def _failed(folder: Path, reason: str) -> dict:
    content = dict(status='failed', reason=reason)
    write_whole(folder / 'failed.json', json.dumps(content))
    return content


def _explain(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f'ended by {name}' + (', as a machine without memory does' if name == 'SIGKILL' else '')
    lines = log.read_text(errors='replace').splitlines()[-_LAST_LINES:] if log.is_file() else []
    errors = [line for line in lines if re.match(r'\w*(error|Error|Exception)\b', line)]
    return errors[-1] if errors else f'ended with {code}, see {log.name} in its folder'
