"""Run a frozen encoder over the data of a config once and keep its features on disk, so that training need not run it.

Example:
    python tools/misc/cache_features.py configs/mlore/mlore_tiny_synthrooms_nyud.py --out work_dirs/features \
        --augmentations 4 --cfg-options model.frozen_backbone=True
    python tools/train.py configs/mlore/mlore_tiny_synthrooms_nyud.py \
        --cfg-options model.frozen_backbone=True feature_cache.path=work_dirs/features

The labels of the same augmentation are stored with the features. The need of disk is said before anything is written.
An interrupted filling goes on with the same command, and more --augmentations are added to what is there.
"""

import argparse
import sys

from mlore_mm.apis import load_config
from mlore_mm.apis.training.cache_features import DTYPES, cache_features
from mlore_mm.apis.training.config import user_errors
from mlore_mm.apis.training.overrides import OverrideAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', required=True, metavar='STORE', help='folder of the store')
    parser.add_argument('--augmentations', type=int, default=1, metavar='K', help='of each training image (default: 1)')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'], choices=['train', 'val', 'test'])
    parser.add_argument('--seed', type=int, default=0, help='what the augmentations follow from')
    parser.add_argument('--dtype', default='float16', choices=list(DTYPES), help='of the stored features')
    parser.add_argument('--batch-size', type=int, default=4, help='images that the encoder sees at a time')
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE', help='as of train.py')
    args = parser.parse_args()
    if args.augmentations < 1 or args.batch_size < 1:
        parser.error('--augmentations and --batch-size are 1 or more.')
    return args


def main() -> None:
    args = parse_args()
    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options)
        cache_features(
            cfg,
            args.out,
            splits=args.splits,
            augmentations=args.augmentations,
            seed=args.seed,
            dtype=args.dtype,
            batch_size=args.batch_size,
        )
    print(f'The features are in {args.out}; train with --cfg-options feature_cache.path={args.out}')


if __name__ == '__main__':
    sys.exit(main())
