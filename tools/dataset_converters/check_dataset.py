"""Check a downloaded archive: counts against the published splits, and every image and label.

python tools/dataset_converters/check_dataset.py data/NYUDv2 --dataset nyud

Every file is read as training reads it: it has to be whole, as large as its image, and hold values that mean something.
Problems are listed, one per file; the exit status is 1 if there are any.
"""

import argparse
import os
import sys

from mlore_mm.datasets.checking import ARCHIVES, check_samples, check_splits
from mlore_mm.datasets.sample_list import require_folder
from mlore_mm.utils.progress import track


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='the extracted folder, NYUDv2 or PASCALContext')
    parser.add_argument('--dataset', required=True, choices=sorted(ARCHIVES), help='which archive it is')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'])
    parser.add_argument('--any-count', action='store_true', help='an archive of your own: splits of any length')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--report', help='also write the problems to this file')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    archive = ARCHIVES[args.dataset]
    try:
        require_folder(args.root, 'The root', 'Give the folder of the extracted archive.')
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    splits, problems = check_splits(args.root, archive, args.splits, not args.any_count)
    ids = sorted(set().union(*splits.values()))
    for found in track(check_samples(args.root, archive, ids, args.workers), len(ids), 'checking', 'samples'):
        problems += found
    for problem in problems:
        print(f'problem: {problem}')
    if args.report:
        with open(args.report, 'w', encoding='utf-8') as file:
            file.writelines(f'{problem}\n' for problem in problems)
        print(f'The problems are listed in {args.report}.')
    counts = ', '.join(f'{split} {len(names)}' for split, names in splits.items())
    print(f'{args.root}: {len(ids)} samples checked ({counts or "no split found"}), {len(problems)} problems.')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
