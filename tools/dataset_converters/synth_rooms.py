"""Make SynthRooms, rendered rooms with exact labels, as NYUDv2 and PASCALContext folders.

python tools/dataset_converters/synth_rooms.py data/synth_rooms
"""

from __future__ import annotations

import argparse
import sys
import time

from mlore_mm.synth_rooms import Recipe, generate


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out_dir', help='parent of the folders NYUDv2 and PASCALContext that are written')
    parser.add_argument('--layout', choices=('nyud', 'pascal', 'both'), default='both')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--size', type=int, nargs=2, default=(120, 160), metavar=('HEIGHT', 'WIDTH'), help='pixels')
    parser.add_argument('--train', type=int, default=240, help='number of training images (default: %(default)s)')
    parser.add_argument('--val', type=int, default=60, help='number of validation images (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=2, help='processes; the files do not depend on their number')
    parser.add_argument('--overwrite', action='store_true', help='replace what was made with other parameters')
    return parser.parse_args()


class Progress:
    """A line that is rewritten on a terminal, and one line per tenth of the work in a log."""

    def __init__(self, title: str) -> None:
        self.title, self.start, self.tenth = title, time.monotonic(), -1

    def __call__(self, done: int, total: int) -> None:
        spent, live = time.monotonic() - self.start, sys.stdout.isatty()
        tenth = 10 * done // total
        if not live and tenth == self.tenth:
            return
        self.tenth = tenth
        bar = '#' * (30 * done // total)
        left = spent / done * (total - done)
        text = f'{self.title} [{bar:<30}] {done}/{total} images, {spent:.0f} s, {left:.0f} s left'
        print(f'\r{text} ' if live else text, end='\n' if done == total or not live else '', flush=True)


def main() -> int:
    args = parse_args()
    for layout in ('nyud', 'pascal') if args.layout == 'both' else (args.layout,):
        try:
            recipe = Recipe(layout, args.seed, tuple(args.size), args.train, args.val)
            folder, reused = generate(args.out_dir, recipe, args.workers, args.overwrite, Progress(layout))
        except (ValueError, OSError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        done = 'already there with these parameters, reused' if reused else 'written'
        height, width = recipe.size
        print(f'{folder}: {recipe.train} training and {recipe.val} validation images of {height}x{width} {done}.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
