"""Compare our MLoRE with the numbers of the published one, group by group.

Example:
    python .dev_scripts/golden_report.py

Needs the reference data of the published models (see tests/shared.py). Prints a table in Markdown and ends with
status 1 where a deviation is above what is allowed. 'rounding' marks numbers after optimizer steps that are above the
tolerance and within what fp32 rounding does to them; --spread measures that.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the package `tests`

from tests.golden_checks import compare
from tests.golden_mlore import NAMES, load_golden


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', default=NAMES, help=f'which models (default: {" ".join(NAMES)})')
    parser.add_argument(
        '--spread', type=int, default=0, metavar='N', help='repeat N times from weights changed in the last bit'
    )
    parser.add_argument(
        '--own-signs',
        action='store_true',
        help='leave first-step gradients that are within rounding of zero as they are, instead of following the '
        'reference; shows what one or two weights that go the other way do to the third step',
    )
    return parser.parse_args()


def main() -> None:
    args, failed = parse_args(), False
    print('| model | group | deviation | tolerance | | deviations of jittered runs |\n|---|---|---|---|---|---|')
    for name in args.names:
        golden = load_golden(name)
        with tempfile.TemporaryDirectory() as folder:
            rows = list(compare(golden, folder, settle=not args.own_signs))
            repeats = [list(compare(golden, folder, seed, not args.own_signs)) for seed in range(args.spread)]
        for i, row in enumerate(rows):
            failed |= row.verdict == 'ABOVE'
            seen = [repeat[i].deviation for repeat in repeats]
            spread = f'{min(seen):.1e} ... {max(seen):.1e}' if seen else ''
            limit = f'{row.tolerance:.0e} {row.kind}'
            print(f'| {name} | {row.group} | {row.deviation:.1e} | {limit} | {row.verdict} | {spread} |')
    sys.exit(failed)


if __name__ == '__main__':
    main()
