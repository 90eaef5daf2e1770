"""A table of kills: what a training does when it is killed, by moment, signal and kind of training.

PYTHONPATH=. python .dev_scripts/kill_table.py --kills 4

Every kill has a folder of its own: a small training (`tests/training.py`) is killed once, goes on with `--resume` until
it is done, and its last checkpoint is compared with that of one that was left alone, bit by bit: weights, averages,
optimizer state, schedules and the log's history. `kill_harness.py` does the same to any config through the command
line, again and again and at any moment.

A row says how many kills there were, in how many the training saved before it ended (SIGTERM only), how many went on
from the beginning, and how many ended otherwise than the undisturbed one, which has to be 0.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mlore_mm.engine.checkpoints import differences, newest_whole_checkpoint
from tests.training import ITERS, Kill, _train, write_config

KINDS = {  # lines of the config, and number of processes
    'plain': ('', 1),
    'EMA': ("custom_hooks = [dict(type='EMAHook', momentum=0.1)]", 1),
    'accumulation': ('optim_wrapper = dict(accumulative_counts=3)', 1),
    'EMA, accumulation': (
        "custom_hooks = [dict(type='EMAHook', momentum=0.1)]\noptim_wrapper = dict(accumulative_counts=3)",
        1,
    ),
    '2 processes': ('', 2),
}
# Hooks that a signal is sent from, and the occurrences that a whole training has of each at least.
MOMENTS = {
    'training': (('before_train_iter', ITERS), ('after_train_iter', ITERS)),
    'validation': (('before_val_iter', 10), ('after_val_iter', 10)),
    'saving': (('write', 10),),
}
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


class KillAll(Kill):
    """Ends all processes of a training at a moment of the first."""

    def __init__(self, pids: Path, *args) -> None:
        self.pids = pids
        super().__init__(*args)

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            own = os.getpid()
            for pid in sorted((int(path.name) for path in self.pids.iterdir()), key=lambda pid: pid == own):
                os.kill(pid, self.by)


def train(config: Path, work: Path, kill: tuple | None, processes: int, seconds: float) -> tuple[int, ...]:
    """Train until the end or the kill; the exit codes."""
    context = multiprocessing.get_context('forkserver')  # imports once for all
    context.set_forkserver_preload(['mlore_mm.apis', 'mlore_mm.models', 'mlore_mm.evaluation', 'tests.training'])
    with tempfile.TemporaryDirectory() as pids:
        args = (str(config), str(work), kill, processes, pids)
        started = [context.Process(target=_run, args=(rank, *args)) for rank in range(processes)]
        for process in started:
            process.start()
        end = time.monotonic() + seconds
        for process in started:
            process.join(max(0.0, end - time.monotonic()))
        hangs = [process for process in started if process.exitcode is None]
        for process in hangs:
            process.kill()
    if hangs:
        sys.exit(f'A training in {work} hangs, see {work}/output.txt.')
    return tuple(process.exitcode for process in started)


def _run(rank: int, config: str, work: str, kill: tuple | None, processes: int, pids: str) -> None:
    Path(work).mkdir(parents=True, exist_ok=True)
    with open(Path(work) / 'output.txt', 'a', encoding='utf-8') as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    (Path(pids) / str(os.getpid())).touch()
    options = {}
    if processes > 1:
        options['launcher'] = 'pytorch'
        port = 20000 + int.from_bytes(Path(pids).name.encode()[-3:], 'big') % 20000
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), WORLD_SIZE=str(processes))
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), GLOO_SOCKET_IFNAME='lo')
    hook = KillAll(Path(pids), *kill) if kill and rank == 0 else None
    _train(config, work, hook, True, options)


def kill_once(config: Path, work: Path, kill: tuple, processes: int, straight: str, seconds: float) -> str:
    """What came of one kill: 'equal' or 'different', with 'saved' or 'from the beginning'; 'done before'."""
    codes = train(config, work, kill, processes, seconds)
    if not any(codes):
        return 'done before'
    expected = {signal.SIGKILL: (-9, 247), signal.SIGTERM: (143, -15)}[kill[2]]
    if not set(codes) <= set(expected):
        return f'ended with {codes}'
    before = newest_whole_checkpoint(work)[0]
    said = (work / 'output.txt').read_text(errors='replace')
    if any(train(config, work, None, processes, seconds)):
        return 'does not go on'
    found = differences(straight, newest_whole_checkpoint(work)[0])
    how = 'saved' if 'Stopped by SIGTERM' in said and 'saved' in said else '' if before else 'from the beginning'
    return f'{"different" if found else "equal"} {how}'.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=4, help='of each row (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=list(KINDS))
    parser.add_argument('--seconds', type=float, default=300, help='until a training counts as hanging')
    parser.add_argument('--work-dir', help='kept; else a temporary folder')
    args = parser.parse_args()
    rng, bad = random.Random(args.seed), 0
    columns = ('kills', 'saved', 'from the beginning', 'different', 'otherwise')
    print(f'{"training":19}{"in":12}{"signal":9}' + ''.join(f'{name:>{len(name) + 2}}' for name in columns), flush=True)
    with contextlib.ExitStack() as stack:
        root = Path(args.work_dir or stack.enter_context(tempfile.TemporaryDirectory()))
        base = write_config(root)
        for kind in args.kinds:
            lines, processes = KINDS[kind]
            config = base.with_name(f'training_{list(KINDS).index(kind)}.py')
            config.write_text(f"_base_ = ['{base.name}']\nrandomness = dict(seed=1)\n{lines}\n")
            folder = root / config.stem
            if any(train(config, folder / 'straight', None, processes, args.seconds)):
                sys.exit(f'{kind} fails without a kill: see {folder}/straight/output.txt')
            straight = newest_whole_checkpoint(folder / 'straight')[0]
            for situation, by in itertools.product(MOMENTS, SIGNALS):
                found = Counter()
                for number in range(args.kills):
                    moment, most = MOMENTS[situation][number % len(MOMENTS[situation])]
                    work = folder / f'{situation}_{by.name}_{number}'
                    kill = (moment, rng.randint(1, most), by)
                    event = kill_once(config, work, kill, processes, straight, args.seconds)
                    found['kills'] += event != 'done before'
                    known = [name for name in columns[1:4] if name in event]
                    found.update(known)
                    if not event.startswith(('equal', 'different', 'done')):
                        found['otherwise'] += 1
                        print(f'{work.name}: {event}', file=sys.stderr)
                row = ''.join(f'{found[name]:{len(name) + 2}}' for name in columns)
                print(f'{kind:19}{situation:12}{by.name:9}{row}', flush=True)
                bad += found['different'] + found['otherwise']
    print(f'{bad} kills that a training did not survive')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
