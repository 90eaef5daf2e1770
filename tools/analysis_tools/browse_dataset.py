"""Draw what the network is trained on: images after augmentation, and every task's label laid over the image.

Example:
    python tools/analysis_tools/browse_dataset.py configs/mlore/mlore_tiny_synthrooms_nyud.py --out work_dirs/browse

A label that is not aligned with its image jumps out. Photos are drawn as the network sees them, before normalisation.
"""

import argparse
import sys

from mlore_mm.apis import browse_dataset, load_config
from mlore_mm.apis.training.config import user_errors
from mlore_mm.utils.progress import ProgressLine


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', metavar='DIR', default='work_dirs/browse', help='default: %(default)s')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--count', type=int, default=20, help='number of images (default: %(default)s)')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='these tasks only')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation')
    parser.add_argument('--opacity', type=float, default=0.6, help='of labels over the image (default: %(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with user_errors():
        cfg = load_config(args.config)
        files = browse_dataset(
            cfg,
            args.out,
            split=args.split,
            count=args.count,
            tasks=args.tasks,
            seed=args.seed,
            opacity=args.opacity,
            on_progress=ProgressLine('browse'),
        )
    print(f'{len(files)} pictures are in {args.out}')


if __name__ == '__main__':
    sys.exit(main())
