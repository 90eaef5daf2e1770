"""Kill a training again and again, let it go on, and compare it bit by bit with one that was left alone.

Example, on SynthRooms (see tools/quickstart.sh), in some minutes on two cores:
    python .dev_scripts/kill_harness.py configs/mlore/mlore_tiny_synthrooms_nyud.py --kills 10 \
        --cfg-options train_cfg.max_iters=60 train_cfg.val_interval=20 default_hooks.checkpoint.interval=5

Every process is a real `tools/train.py --resume`. The moments are drawn from the time that the undisturbed training
took, so they fall into imports, iterations, validations and writes; some wait for a write on purpose. It ends with 0 if
weights, optimizer state, rates, losses and final metrics are the same to the last bit. The CPU is used: GPUs add up in
no fixed order.
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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', default='work_dirs/kills', help='two folders go here (default: %(default)s)')
    parser.add_argument('--kills', type=int, default=10, help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the training and of the moments')
    parser.add_argument('--sigterm', type=float, default=0.2, help='share of kills that leave time to save')
    parser.add_argument('--writes', type=float, default=0.4, help='share of kills that wait for a write')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[], help='as of tools/train.py')
    return parser.parse_args()


def start(args: argparse.Namespace, work_dir: Path) -> subprocess.Popen:
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(TRAIN), args.config, '--work-dir', str(work_dir), '--resume']
    command += ['--cfg-options', *args.cfg_options, f'randomness.seed={args.seed}']
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    with open(work_dir / 'output.txt', 'a', encoding='utf-8') as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment)


def kill_once(args: argparse.Namespace, work_dir: Path, span: float, moments: random.Random) -> str:
    """Start, wait for the moment, kill; what happened, '' where the training was done before."""
    process = start(args, work_dir)
    by = signal.SIGTERM if moments.random() < args.sigterm else signal.SIGKILL
    in_write = moments.random() < args.writes
    begin, wait = time.monotonic(), moments.uniform(0.05, 0.9) * span
    while process.poll() is None:
        late = time.monotonic() - begin > wait
        if late and (not in_write or any(work_dir.glob('.*.partial'))):
            process.send_signal(by)
            process.wait()
            break
        time.sleep(0.0005 if late else 0.01)
    if process.returncode == 0:
        return ''
    if process.returncode not in (-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
        sys.exit(f'The training failed by itself ({process.returncode}): see {work_dir}/output.txt')
    moment = 'in a write' if any(work_dir.glob('.*.partial')) else 'at any moment'
    return f'{by.name} {moment}, after {time.monotonic() - begin:.1f} s'


def final_numbers(work_dir: Path) -> dict:
    files = sorted(work_dir.glob('*/evaluation.json'))
    return json.loads(files[-1].read_text())['results'] if files else {}


def main() -> None:
    args = parse_args()
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
