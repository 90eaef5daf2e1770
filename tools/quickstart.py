"""Make rooms, train a small MLoRE on them, test it, and compare it with a predictor that does not look at the image.

Example:
    bash tools/quickstart.sh
"""

import argparse
import json
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

from mlore_mm.apis import evaluate_model, evaluate_trivial, load_config, train_model
from mlore_mm.apis.training.config import user_errors
from mlore_mm.synth_rooms import Recipe, generate
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.progress import ProgressLine

import torch
from mmengine.config import Config

REPO = Path(__file__).resolve().parents[1]
NOWHERE = open(os.devnull, 'w')  # noqa: SIM115

# How much better than the trivial predictor a task has to be: value / trivial where higher is better, else
# trivial / value. 4 / 3 is an error that is 25% lower.
BARS = dict(semseg=2.5, human_parts=1.3, sal=1.2, normals=4 / 3, edge=1.2, depth=4 / 3)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--layout', choices=('nyud', 'pascal'), default='nyud', help='tasks and folders of this data set'
    )
    parser.add_argument('--work-dir', default='work_dirs/quickstart', help='default: %(default)s')
    parser.add_argument('--data-dir', default='data/synth_rooms', help='where the rooms go (default: %(default)s)')
    parser.add_argument('--short', action='store_true', help='few rooms and iterations, to see that everything runs')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    start = time.monotonic()
    with user_errors():
        summary, short_of = run(args)
    print(f'Pictures are in {args.work_dir}/panels, the numbers in {args.work_dir}/summary.json')
    print(f'Done in {time.monotonic() - start:.0f} s')
    if args.short:
        print('This was a short run: its numbers mean nothing.')
    elif short_of:
        print('error: not clearly better than the trivial predictor: ' + ', '.join(short_of), file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace) -> tuple[dict, list[str]]:
    """All steps; the summary, and the tasks that do not clear their bar."""
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))  # the loader's workers want the other cores
    work, data = Path(args.work_dir), Path(args.data_dir + ('_short' if args.short else ''))
    say('1/4 making rooms')
    recipe = Recipe(args.layout, train=16, val=4) if args.short else Recipe(args.layout)
    root, reused = generate(data, recipe, report=ProgressLine('rooms'))
    if reused:
        print(f'using those of {root}')
    say('2/4 training')
    with console_to_log():
        train_model(make_config(args, root, work, 'train'), validate=False)
    checkpoint = (work / 'last_checkpoint').read_text().strip()
    say('3/4 testing, and drawing panels')
    with console_to_log():
        cfg = make_config(args, root, work, 'test')
        metrics = evaluate_model(cfg, checkpoint, show_dir=str(work / 'panels'))
    say('4/4 testing the trivial predictor')
    with console_to_log():
        trivial = evaluate_trivial(make_config(args, root, work, 'trivial'))
    tasks = TaskSet(cfg.tasks.to_dict())
    summary = summarise(tasks, metrics, trivial)
    (work / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')
    print_table(tasks, summary)
    return summary, [name for name in tasks if gain(tasks[name], summary[name]) < BARS.get(name, 1.0)]


def make_config(args: argparse.Namespace, root: Path, work: Path, title: str) -> Config:
    cfg = load_config(str(REPO / f'configs/mlore/mlore_tiny_synthrooms_{args.layout}.py'), work_dir=str(work))
    cfg.data_root = str(root)
    cfg.randomness = dict(seed=0)  # a first impression that can be repeated
    cfg.custom_hooks = [dict(type='ProgressHook', title=title)]
    if args.short:
        cfg.max_iters = 4
        cfg.train_dataloader.batch_size = 2
    return cfg


def console_to_log() -> redirect_stdout:
    """mmengine's log is long: it goes to its file in the work folder, and the console shows progress only.

    Its loggers keep the stream that they start with, so that one stays open.
    """
    return redirect_stdout(NOWHERE)


def summarise(tasks: TaskSet, metrics: dict, trivial: dict) -> dict[str, dict]:
    keys = {name: f'{name}/{task.headline}' for name, task in tasks.items()}
    return {
        name: dict(metric=tasks[name].headline, value=float(metrics[key]), trivial=float(trivial[key]))
        for name, key in keys.items()
    }


def gain(task, row: dict) -> float:
    """How many times better than the trivial predictor."""
    better, worse = (row['value'], row['trivial']) if task.higher_is_better else (row['trivial'], row['value'])
    return better / worse if worse > 0 else float('inf') if better > 0 else 0.0


def print_table(tasks: TaskSet, summary: dict) -> None:
    row_format = '{:<12} {:<16} {:>9} {:>9} {:>13} {:>9}'
    print('\n' + row_format.format('task', 'metric', 'MLoRE', 'trivial', 'times better', 'at least'))
    for name, row in summary.items():
        task = tasks[name]
        unit, arrow = f' ({task.unit})' if task.unit else '', '↑' if task.higher_is_better else '↓'
        numbers = (row['value'], row['trivial'], gain(task, row), BARS.get(name, 1.0))
        print(row_format.format(name, f'{row["metric"]}{unit} {arrow}', *(f'{x:.3f}' for x in numbers)))
    print()


def say(text: str) -> None:
    print(f'[quickstart {time.strftime("%H:%M:%S")}] {text}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
