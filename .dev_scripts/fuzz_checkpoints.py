"""Count what becomes of damaged and odd checkpoints, for every way in: test, resume, load_from, init_cfg, converters.

PYTHONPATH=. python .dev_scripts/fuzz_checkpoints.py --mutations 300

Two lines per way, each of so many files: such with damaged bytes, and such that are whole and hold something odd. How
many were named in an error, read as if nothing had happened, read to other weights, and how many ended in an error that
does not name the file, which has to be 0. Damaged bytes never give other weights, as all of the formats have checksums;
odd content does where weights may be missing (load_from, init_cfg).
"""

import argparse
import itertools
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.logging import MMLogger

from tests.test_engine.test_checkpoints.fuzz import KINDS, cases, outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mutations', type=int, default=300)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--show', type=int, default=3, help='tracebacks of so many foreign errors of each way')
    parser.add_argument('--only', default='', help='ways whose name contains this')
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        ways = cases(Path(folder))
        MMLogger.get_current_instance().setLevel('CRITICAL')
        print(f'{"way":20}{"odd":>9}' + ''.join(f'{kind:>15}' for kind in KINDS))
        for name, damage in itertools.product(ways, ('bytes', 'content')):
            if args.only not in name:
                continue
            foreign, others = [], []
            counts = outcomes(ways[name], Path(folder), args.mutations, args.seed, foreign, others, damage)
            print(f'{name:20}{damage:>9}' + ''.join(f'{counts[kind]:15}' for kind in KINDS), flush=True)
            bad += counts['unnamed'] + (counts['other weights'] if damage == 'bytes' else 0)
            for error in foreign[: args.show]:
                print(''.join(traceback.format_exception(error)[-3:]))
            print(*(f'    other weights: {what}' for what in others[: args.show]), sep='\n', end='\n' * bool(others))
    print(f'{bad} checkpoints that should have been named')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
