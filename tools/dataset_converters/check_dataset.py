"""Check a data set before training does: every image and label, and of a published archive the counts too.

python tools/dataset_converters/check_dataset.py data/NYUDv2 --dataset nyud
python tools/dataset_converters/check_dataset.py configs/mlore/mlore_tiny_synthrooms_nyud.py

Every file is read as training reads it: it has to be whole, as large as its image, and hold values that mean something.
Then the labels are looked at as a whole: a table says what they hold, warnings what may not be meant and errors what
cannot be right, each with the option that cures it. Problems are told by kind, --report lists every file; the exit
status is 1 if there are problems or errors. Given a config, the data sets of its dataloaders are checked, whatever
their layout.
"""

import argparse
import os
import sys

from mlore_mm.apis.training.config import load_config, user_errors
from mlore_mm.apis.training.overrides import OverrideAction
from mlore_mm.datasets.checking import ARCHIVES, check_splits, inspect_samples
from mlore_mm.datasets.checking_config import count_labels, inspect_dataset, open_datasets_one_by_one
from mlore_mm.datasets.problems import summarize_problems
from mlore_mm.datasets.sample_list import require_folder
from mlore_mm.datasets.survey import TaskSurvey, merge_surveys, table
from mlore_mm.tasks import Finding
from mlore_mm.utils.progress import track
from mlore_mm.utils.whole_files import write_whole
from mlore_mm.visualization.label_plot import draw_labels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', metavar='ROOT_OR_CONFIG', help='the extracted folder, or a config file')
    parser.add_argument('--dataset', choices=sorted(ARCHIVES), help='which archive the folder is')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'])
    parser.add_argument('--any-count', action='store_true', help='an archive of your own: splits of any length')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--report', help='also write the problems to this file, one per file that has one')
    parser.add_argument('--picture', help='draw what the labels hold into this file, as a PNG')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE', help='override the config'
    )
    args = parser.parse_args()
    if not args.dataset and not args.root.endswith('.py'):
        parser.error('a folder needs --dataset; for a data set of your own give its config in place of the folder')
    return args


def main() -> int:
    args = parse_args()
    with user_errors():
        checked, splits, problems, surveys = (_check_archive if args.dataset else _check_config)(args)
        findings = _tell(args, surveys)
    for text in summarize_problems(problems):
        print(f'problem: {text}')
    if args.report:
        with user_errors():
            write_whole(args.report, ''.join(f'{problem}\n' for problem in [*problems, *findings]), lasting=False)
        print(f'The problems are listed in {args.report}.')
    counts = ', '.join(f'{split} {count}' for split, count in splits.items())
    errors = sum(finding.level == 'error' for finding in findings)
    if findings:
        print(f'What the labels hold: {errors} errors, {len(findings) - errors} warnings.')
    print(f'{args.root}: {checked} samples checked ({counts or "no split found"}), {len(problems)} problems.')
    return 1 if problems or errors else 0


def _tell(args: argparse.Namespace, surveys: dict[str, dict[str, TaskSurvey]]) -> list[Finding]:
    """Print a table for every list of samples; what was found in them, each finding once."""
    findings: dict[str, Finding] = {}
    for name, by_task in surveys.items():
        if by_task:
            print(f'{name}:\n{table(by_task)}')
        for survey in by_task.values():
            for finding in survey.findings():
                findings.setdefault(f'{name}: {finding}', finding)
    for text in findings:
        print(text)
    if args.picture and surveys:
        draw_labels(surveys, args.picture)
        print(f'Wrote {args.picture}')
    return list(findings.values())


def _check_archive(args: argparse.Namespace) -> tuple[int, dict[str, int], list[str], dict]:
    """Number of samples, length of every split, the problems, and what the labels hold."""
    archive = ARCHIVES[args.dataset]
    require_folder(args.root, 'The root', 'Give the folder of the extracted archive.')
    splits, problems = check_splits(args.root, archive, args.splits, not args.any_count)
    ids, surveys = sorted(set().union(*splits.values())), {}
    samples = inspect_samples(args.root, archive, ids, args.workers)
    for found, survey in track(samples, len(ids), 'checking', 'samples'):
        problems += found
        merge_surveys(surveys, survey)
    return len(ids), {split: len(names) for split, names in splits.items()}, problems, {'labels': surveys}


def _check_config(args: argparse.Namespace) -> tuple[int, dict[str, int], list[str], dict]:
    lengths, problems, surveys = {}, [], {}
    for split in args.splits:
        lengths[split] = 0
        datasets, unreadable = open_datasets_one_by_one(load_config(args.root, cfg_options=args.cfg_options), split)
        problems += unreadable
        for number, dataset in enumerate(datasets):
            counts = ', '.join(f'{task} {count}' for task, count in count_labels(dataset).items())
            print(f'{split}: {len(dataset)} images, labels: {counts}')
            lengths[split] += len(dataset)
            held = surveys.setdefault(f'{split}' if len(datasets) == 1 else f'{split}, part {number + 1}', {})
            samples = inspect_dataset(dataset, args.workers)
            for found, survey in track(samples, len(dataset), 'checking', 'samples'):
                problems += found
                merge_surveys(held, survey)
    return sum(lengths.values()), lengths, problems, surveys


if __name__ == '__main__':
    sys.exit(main())
