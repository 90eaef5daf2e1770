"""Count what becomes of damaged label files and photos, for every reader.

PYTHONPATH=. python .dev_scripts/fuzz_files.py --mutations 300

One line per reader: how many files were named in an error, read as if nothing had happened, read to other pixels, and
how many ended in an error that does not name them. The last has to be 0 everywhere, the one before it where the format
has a checksum.
"""

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.test_datasets.fuzz import CASES, outcomes

KINDS = ('named', 'equal', 'other pixels', 'unnamed')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mutations', type=int, default=300)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--only', default='', help='readers whose name contains this')
    parser.add_argument('--show', type=int, default=2, help='so many foreign errors of each reader')
    args = parser.parse_args()
    bad = 0
    print(f'{"reader":34}' + ''.join(f'{kind:>14}' for kind in (*KINDS, 'checksum')))
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            if args.only not in name:
                continue
            foreign = []
            counts = outcomes(name, Path(folder), args.mutations, args.seed, foreign)
            row = [f'{counts[kind]:14}' for kind in KINDS] + [f'{"yes" if case.checksum else "no":>14}']
            print(f'{name:34}' + ''.join(row), flush=True)
            for error in foreign[: args.show]:
                print(''.join(traceback.format_exception(error)[-3:]))
            bad += counts['unnamed'] + (counts['other pixels'] if case.checksum else 0)
    print(f'{bad} files that should have been named')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
