"""Draw the losses of every task, the learning rate and the headline numbers of one or several trainings.

Example:
    python tools/analysis_tools/analyze_logs.py work_dirs/quickstart --out work_dirs/quickstart/curves.png

Give several work folders, or files scalars.json, to lay their curves over each other. A resumed training is one curve.
"""

import argparse
import sys

from mlore_mm.apis.analysis.analyze_logs import plot_runs, read_run, select_keys, table
from mlore_mm.apis.training.config import user_errors
from mlore_mm.visualization.routing_plot import save_figure


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='RUN', help='work folder, or a file scalars.json')
    parser.add_argument('--names', nargs='+', metavar='NAME', help='names of the runs (default: those of the folders)')
    parser.add_argument(
        '--keys', nargs='+', default=(), metavar='REGEX', help='what to draw (default: losses, lr, headlines)'
    )
    parser.add_argument('--smooth', type=float, default=0.0, help='of the losses, 0 to below 1 (default: %(default)s)')
    parser.add_argument('--log', action='store_true', help='losses on a logarithmic axis')
    parser.add_argument('--out', metavar='FILE', default='work_dirs/curves.png', help='default: %(default)s')
    args = parser.parse_args()
    if args.names and len(args.names) != len(args.runs):
        parser.error(f'{len(args.runs)} runs need as many names, but got {len(args.names)}')
    return args


def main() -> None:
    args = parse_args()
    with user_errors():
        names = args.names or [None] * len(args.runs)
        runs = [read_run(path, name) for path, name in zip(args.runs, names, strict=True)]
        keys = select_keys(runs, args.keys)
        save_figure(plot_runs(runs, keys, args.smooth, args.log), args.out)
    print(table(runs, keys))
    print(f'Curves are in {args.out}')


if __name__ == '__main__':
    sys.exit(main())
