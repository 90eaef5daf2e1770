"""Test a checkpoint: the table of metrics, and on request pictures and raw predictions.

Example:
    python tools/test.py configs/mlore/mlore_tiny_synthrooms_nyud.py work_dirs/quickstart/iter_500.pth \
        --show-dir work_dirs/panels
"""

import argparse
import sys

from mlore_mm.apis import load_config
from mlore_mm.apis.training.config import add_common_options, set_local_rank, user_errors
from mlore_mm.apis.training.test import run_test
from mlore_mm.utils.half_precision import DTYPES

from mmengine.dist import is_main_process


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    add_common_options(parser)
    parser.add_argument('--out', metavar='DIR', help='write raw predictions here, a folder per task')
    parser.add_argument('--show', action='store_true', help='open a window for each image')
    parser.add_argument('--show-dir', metavar='DIR', help='write a panel per image here')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that a window stays open')
    parser.add_argument('--tta', action='store_true', help='average over flips and scales')
    parser.add_argument('--compile', action='store_true', help='torch.compile; the first images take minutes')
    parser.add_argument('--dtype', choices=DTYPES, help='what the network computes in (default: fp32)')
    return parser.parse_args(argv)


def main() -> None:
    args = parse_args()
    set_local_rank(args.local_rank)
    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options, work_dir=args.work_dir, launcher=args.launcher)
        _, not_finite = run_test(
            cfg,
            args.checkpoint,
            out_dir=args.out,
            show=args.show,
            show_dir=args.show_dir,
            wait_time=args.wait_time,
            tta=args.tta,
            tasks=args.tasks,
            dtype=args.dtype,
            compile=args.compile,
        )
    for what, folder in (('Logs are', cfg.work_dir), ('Predictions are', args.out), ('Panels are', args.show_dir)):
        if folder and is_main_process():
            print(f'{what} in {folder}')
    if not_finite:
        found = [f"{name} in {x['images']} images, such as '{x['first']}'" for name, x in not_finite.items()]
        sys.exit(f'\nerror: predictions are not finite: {"; ".join(found)}')


if __name__ == '__main__':
    sys.exit(main())
