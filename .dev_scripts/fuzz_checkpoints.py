"""Count what becomes of damaged and odd checkpoints, for every way in: test, resume, load_from, init_cfg, converter.

PYTHONPATH=. python .dev_scripts/fuzz_checkpoints.py --mutations 300

Half of the files have damaged bytes, half are whole and hold something odd. One line per way: how many were named in an
error, read as if nothing had happened, read to other weights, and how many ended in an error that does not name the
file, which has to be 0. Other weights come of odd content only, where weights may be missing (load_from, init_cfg).
"""

import argparse
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
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        ways = cases(Path(folder))
        MMLogger.get_current_instance().setLevel('ERROR')
        print(f'{"way":20}' + ''.join(f'{kind:>15}' for kind in KINDS))
        for name, case in ways.items():
            foreign = []
            counts = outcomes(case, Path(folder), args.mutations, args.seed, foreign)
            print(f'{name:20}' + ''.join(f'{counts[kind]:15}' for kind in KINDS), flush=True)
            bad += counts['unnamed']
            for error in foreign[: args.show]:
                print(''.join(traceback.format_exception(error)[-3:]))
    print(f'{bad} checkpoints that should have been named')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
