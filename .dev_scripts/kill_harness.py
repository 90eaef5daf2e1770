"""Kill a training again and again, let it go on, and compare it bit by bit with one that was left alone.

Example, on SynthRooms (see tools/quickstart.sh), in some minutes on two cores:
    python .dev_scripts/kill_harness.py configs/mlore/mlore_tiny_synthrooms_nyud.py --kills 10 \
        --cfg-options train_cfg.max_iters=60 train_cfg.val_interval=20 default_hooks.checkpoint.interval=5

Every process is a real `tools/train.py --resume`. The moments are drawn from the time that the undisturbed training
took, so they fall into imports, iterations, validations and writes; some wait for a write on purpose. It ends with 0 if
weights, averages, optimizer state, rates, losses and final metrics are the same to the last bit. The CPU is used: GPUs
add up in no fixed order.

`--ema` averages the weights, `--accumulate 3` updates them after every third batch, `--processes 2` trains in several
processes, which are all killed at once.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from mlore_mm.engine.checkpoints import differences, newest_whole_checkpoint

TRAIN = Path(__file__).resolve().parents[1] / 'tools' / 'train.py'

# One group of processes, so that one signal reaches all; torchrun gives each its own. It ends after the last of them.
SEVERAL = """
trap : TERM
for rank in $(seq 0 $((WORLD_SIZE - 1))); do RANK=$rank LOCAL_RANK=$rank "$@" & pids="$pids $!"; done
status=0
for pid in $pids; do
    while kill -0 $pid 2> /dev/null; do wait $pid; status=$?; done
done
exit $status
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', default='work_dirs/kills', help='two folders go here (default: %(default)s)')
    parser.add_argument('--kills', type=int, default=10, help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the training and of the moments')
    parser.add_argument('--sigterm', type=float, default=0.2, help='share of kills that leave time to save')
    parser.add_argument('--writes', type=float, default=0.3, help='share of kills that wait for a write')
    parser.add_argument('--validations', type=float, default=0.3, help='share of kills that wait for a validation')
    parser.add_argument('--ema', action='store_true', help="with mmengine's EMAHook")
    parser.add_argument('--accumulate', type=int, default=1, metavar='N', help='gradient accumulation')
    parser.add_argument('--processes', type=int, default=1, metavar='N', help='processes of one training')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[], help='as of tools/train.py')
    return parser.parse_args()


def start(args: argparse.Namespace, work_dir: Path) -> subprocess.Popen:
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(TRAIN), str(write_config(args)), '--work-dir', str(work_dir), '--resume']
    command += ['--cfg-options', *args.cfg_options, f'randomness.seed={args.seed}']
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    if args.processes > 1:
        port = 20000 + (os.getpid() + time.monotonic_ns() // 10**6) % 20000
        environment.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), WORLD_SIZE=str(args.processes))
        command = ['bash', '-c', SEVERAL, 'several', *command, '--launcher', 'pytorch']
    with open(work_dir / 'output.txt', 'a', encoding='utf-8') as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)


def write_config(args: argparse.Namespace) -> Path:
    """The config with what the options ask for; command lines cannot give lists of hooks."""
    path = Path(args.work_dir) / 'harness.py'
    lines = [f'_base_ = [{str(Path(args.config).resolve())!r}]', 'default_hooks = dict(logger=dict(interval=1))']
    if args.ema:
        lines.append("custom_hooks = [dict(type='EMAHook', momentum=0.1)]")
    if args.accumulate > 1:
        lines.append(f'optim_wrapper = dict(accumulative_counts={args.accumulate})')
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def moment_has_come(kind: str, work_dir: Path, printed: int) -> bool:
    """Whether a write ('write') or a validation ('validation') is under way; any moment does for 'any'."""
    if kind == 'write':
        return any(work_dir.glob('.*.partial'))
    if kind == 'validation':
        with open(work_dir / 'output.txt', 'rb') as file:
            file.seek(max(printed, file.seek(0, os.SEEK_END) - 300))
            lines = file.read().splitlines()
        return bool(lines) and b'Iter(val)' in lines[-1]
    return True


def kill_once(args: argparse.Namespace, work_dir: Path, span: float, moments: random.Random) -> str:
    """Start, wait for the moment, kill; what happened, '' where the training was done before."""
    output = work_dir / 'output.txt'
    printed = output.stat().st_size if output.exists() else 0
    process = start(args, work_dir)
    by = signal.SIGTERM if moments.random() < args.sigterm else signal.SIGKILL
    shares = (args.writes, args.validations, max(0.0, 1 - args.writes - args.validations))
    (kind,) = moments.choices(('write', 'validation', 'any'), shares)
    begin, wait = time.monotonic(), moments.uniform(0.05, 0.9) * span
    sent = False
    while process.poll() is None:
        late = time.monotonic() - begin > wait
        if late and moment_has_come(kind, work_dir, printed):
            if args.processes > 1:
                os.killpg(process.pid, by)
            else:
                process.send_signal(by)
            process.wait()
            sent = True
            break
        time.sleep(0.0005 if late else 0.01)
    if process.returncode == 0:
        return ''
    if not sent:
        sys.exit(f'The training failed by itself ({process.returncode}): see {work_dir}/output.txt')
    moment = 'in a write' if any(work_dir.glob('.*.partial')) else kind
    return f'{by.name}, {moment}, after {time.monotonic() - begin:.1f} s'


def final_numbers(work_dir: Path) -> dict:
    files = sorted(work_dir.glob('*/evaluation.json'))
    return json.loads(files[-1].read_text())['results'] if files else {}


def main() -> None:
    args = parse_args()
    Path(args.work_dir).mkdir(parents=True, exist_ok=True)
    straight, killed = Path(args.work_dir) / 'straight', Path(args.work_dir) / 'killed'
    if straight.exists() or killed.exists():
        sys.exit(f'{args.work_dir} is in use. Give an empty folder.')
    begin = time.monotonic()
    if start(args, straight).wait():
        sys.exit(f'The training fails without being killed: see {straight}/output.txt')
    span = time.monotonic() - begin
    print(f'Undisturbed: {span:.0f} s', flush=True)
    moments, count = random.Random(args.seed), 0
    for _ in range(args.kills):
        event = kill_once(args, killed, span, moments)
        if not event:
            print('Done before the kill', flush=True)
            break
        count += 1
        print(f'Kill {count}: {event}; newest whole: {newest_whole_checkpoint(killed)[0]}', flush=True)
    if start(args, killed).wait():
        sys.exit(f'The training does not go on: see {killed}/output.txt')
    files = [newest_whole_checkpoint(folder)[0] for folder in (straight, killed)]
    found = differences(*files)
    if final_numbers(straight) != final_numbers(killed):
        found.append('final metrics')
    print(f'{count} kills survived. Compared {files[0]} with {files[1]}: {len(found)} differences {found[:10]}')
    sys.exit(bool(found))


if __name__ == '__main__':
    main()
