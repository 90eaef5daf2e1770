"""Train a multi-task model.

Example:
    python tools/train.py configs/mlore/mlore_tiny_synthrooms_nyud.py
"""

import argparse
import sys

from mlore_mm.apis import load_config, train_model
from mlore_mm.apis.training.config import add_common_options, set_local_rank, user_errors
from mlore_mm.apis.training.dev_run import fast_dev_run

from mmengine.dist import is_main_process


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    add_common_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or from the latest one of the work folder',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--compile', action='store_true', help='torch.compile; the first steps take minutes')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the rate with the total batch size')
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate during training')
    parser.add_argument(
        '--fast-dev-run',
        action='store_true',
        help='two steps of everything (train, validate, save, resume, test) in a subfolder that is removed again',
    )
    args = parser.parse_args(argv)
    if args.fast_dev_run and args.resume:
        parser.error('--fast-dev-run resumes a checkpoint of its own, leave --resume out.')
    return args


def main() -> None:
    args = parse_args()
    set_local_rank(args.local_rank)
    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options, work_dir=args.work_dir, launcher=args.launcher)
        options = dict(amp=args.amp, auto_scale_lr=args.auto_scale_lr, validate=not args.no_validate)
        options.update(tasks=args.tasks, compile=args.compile)
        if args.fast_dev_run:
            fast_dev_run(cfg, **options)
        else:
            train_model(cfg, resume=args.resume, **options)
    if args.fast_dev_run:
        if is_main_process():
            print(
                'Training, validating, saving, resuming and testing work; the numbers of such a short run mean nothing.'
            )
        return
    if is_main_process():
        print(f'Checkpoints and logs are in {cfg.work_dir}')


if __name__ == '__main__':
    sys.exit(main())
