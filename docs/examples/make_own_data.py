"""Make a small folder that stands for a data set of one's own: photos, class ids, and depth in millimetres.

Example:
    python docs/examples/make_own_data.py data/mine
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mlore_mm.synth_rooms import Recipe, generate

WALL, FLOOR, CEILING = 1, 2, 22  # in the files of NYUD-v2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out_dir', help='folder to write')
    parser.add_argument('--train', type=int, default=16, help='training photos (default: %(default)s)')
    parser.add_argument('--val', type=int, default=4, help='validation photos (default: %(default)s)')
    args = parser.parse_args()
    out = Path(args.out_dir)
    with tempfile.TemporaryDirectory() as scratch:
        rooms, _ = generate(scratch, Recipe('nyud', train=args.train, val=args.val))
        for split in ('train', 'val'):
            names = (rooms / 'gt_sets' / f'{split}.txt').read_text().split()
            for name in names:
                convert(rooms, out, name)
            save_text(out / 'splits' / f'{split}.txt', '\n'.join(names) + '\n')
    print(f'{args.train} + {args.val} photos with labels are in {out}')


def convert(rooms: Path, out: Path, name: str) -> None:
    save_image(out / 'photos' / f'{name}.jpg', np.asarray(Image.open(rooms / 'images' / f'{name}.png')))
    ids = np.asarray(Image.open(rooms / 'segmentation' / f'{name}.png'))
    classes = np.full(ids.shape, 3, dtype=np.uint8)  # things
    classes[(ids == WALL) | (ids == CEILING)] = 1
    classes[ids == FLOOR] = 2
    classes[ids == 0] = 0  # not labelled
    save_image(out / 'classes' / f'{name}.png', classes)
    metres = np.load(rooms / 'depth' / f'{name}.npy')
    save_image(out / 'depth' / f'{name}.png', np.rint(metres * 1000).astype(np.uint16))


def save_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == '__main__':
    main()
