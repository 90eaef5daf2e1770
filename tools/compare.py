"""Train several systems under equal conditions and write one table: scores, gain over single-task models, costs.

Example:
    python tools/compare.py configs/comparison/plans/synthrooms.py --dry-run

A plan names systems, encoders, data, budget and seeds. Every run is a process of its own; call it again to go on after
an interruption. The table is comparison.md (.csv, .json) in the work folder, with scores.png and costs.png.
"""

import argparse
import sys

from mlore_mm.apis.comparison import compare
from mlore_mm.apis.training.config import user_errors
from mlore_mm.apis.training.overrides import OverrideAction


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('plan', help='plan, a Python file')
    parser.add_argument('--work-dir', metavar='DIR', help='default: work_dirs/compare_<plan>')
    parser.add_argument(
        '--dry-run', action='store_true', help='ten iterations of everything, and the table of runs with their times'
    )
    parser.add_argument('--add', action='store_true', help='extend the comparison in the work folder by this plan')
    parser.add_argument(
        '--options',
        nargs='+',
        action=OverrideAction,
        metavar='KEY=VALUE',
        help='override settings of the plan, as in budget.iterations=10 or "seeds=[0]"',
    )
    return parser.parse_args(argv)


def main() -> None:
    args = parse_args()
    with user_errors():
        files = compare(args.plan, args.work_dir, dry_run=args.dry_run, add=args.add, options=args.options)
    if files:
        print(f'Written: {", ".join(map(str, files))}')


if __name__ == '__main__':
    sys.exit(main())
