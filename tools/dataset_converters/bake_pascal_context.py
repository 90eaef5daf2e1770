"""Turn the slow labels of PASCAL-Context (.mat files, masked normals) into PNGs once, in the subfolder `baked`.

python tools/dataset_converters/bake_pascal_context.py data/PASCALContext

The data set takes baked files where they are. The labels are the same, and one worker makes training samples 1.4 times
as fast (benchmarks/input_pipeline.py). Run it again after a label has changed: what is out of date is baked again.
"""

import argparse
import os
import sys

from mlore_mm.datasets.baking import BAKED_TASKS, bake
from mlore_mm.datasets.sample_list import read_split, require_folder
from mlore_mm.utils.progress import track


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='the folder PASCALContext')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'], help='files of ImageSets/Context')
    parser.add_argument('--tasks', nargs='+', default=list(BAKED_TASKS), choices=BAKED_TASKS)
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--overwrite', action='store_true', help='bake files again that are up to date')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        require_folder(args.root, 'The root of PASCAL-Context,', 'Give the folder that holds JPEGImages.')
        splits = [read_split(os.path.join(args.root, f'ImageSets/Context/{split}.txt')) for split in args.splits]
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    ids, problems, written = sorted(set().union(*splits)), [], 0
    results = bake(args.root, ids, args.tasks, args.workers, args.overwrite)
    for _, messages, count in track(results, len(ids), 'baking'):
        problems += messages
        written += count
    for message in problems:
        print(f'problem: {message}')
    print(f'{written} files written to {os.path.join(args.root, "baked")}, {len(problems)} problems.')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
