"""Check a data set before training does: every image and label, and of a published archive the counts too.

python tools/dataset_converters/check_dataset.py data/NYUDv2 --dataset nyud
python tools/dataset_converters/check_dataset.py configs/mlore/mlore_tiny_synthrooms_nyud.py

Every file is read as training reads it: it has to be whole, as large as its image, and hold values that mean something.
Problems are listed, one per file; the exit status is 1 if there are any. Given a config, the data sets of its
dataloaders are checked, whatever their layout.
"""

import argparse
import os
import sys

from mlore_mm.apis.training.config import load_config, user_errors
from mlore_mm.datasets.checking import ARCHIVES, check_samples, check_splits
from mlore_mm.datasets.checking_config import check_dataset, count_labels, open_datasets
from mlore_mm.datasets.sample_list import require_folder
from mlore_mm.utils.progress import track


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', metavar='ROOT_OR_CONFIG', help='the extracted folder, or a config file')
    parser.add_argument('--dataset', choices=sorted(ARCHIVES), help='which archive the folder is')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'])
    parser.add_argument('--any-count', action='store_true', help='an archive of your own: splits of any length')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--report', help='also write the problems to this file')
    args = parser.parse_args()
    if not args.dataset and not args.root.endswith('.py'):
        parser.error('a folder needs --dataset; for a data set of your own give its config in place of the folder')
    return args


def main() -> int:
    args = parse_args()
    with user_errors():
        checked, splits, problems = (_check_archive if args.dataset else _check_config)(args)
    for problem in problems:
        print(f'problem: {problem}')
    if args.report:
        with open(args.report, 'w', encoding='utf-8') as file:
            file.writelines(f'{problem}\n' for problem in problems)
        print(f'The problems are listed in {args.report}.')
    counts = ', '.join(f'{split} {count}' for split, count in splits.items())
    print(f'{args.root}: {checked} samples checked ({counts or "no split found"}), {len(problems)} problems.')
    return 1 if problems else 0


def _check_archive(args: argparse.Namespace) -> tuple[int, dict[str, int], list[str]]:
    """Number of samples, length of every split, and the problems."""
    archive = ARCHIVES[args.dataset]
    require_folder(args.root, 'The root', 'Give the folder of the extracted archive.')
    splits, problems = check_splits(args.root, archive, args.splits, not args.any_count)
    ids = sorted(set().union(*splits.values()))
    for found in track(check_samples(args.root, archive, ids, args.workers), len(ids), 'checking', 'samples'):
        problems += found
    return len(ids), {split: len(names) for split, names in splits.items()}, problems


def _check_config(args: argparse.Namespace) -> tuple[int, dict[str, int], list[str]]:
    lengths, problems = {}, []
    for split in args.splits:
        lengths[split] = 0
        for dataset in open_datasets(load_config(args.root), split):
            counts = ', '.join(f'{task} {count}' for task, count in count_labels(dataset).items())
            print(f'{split}: {len(dataset)} images, labels: {counts}')
            lengths[split] += len(dataset)
            for found in track(check_dataset(dataset, args.workers), len(dataset), 'checking', 'samples'):
                problems += found
    return sum(lengths.values()), lengths, problems


if __name__ == '__main__':
    sys.exit(main())
