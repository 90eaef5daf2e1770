"""Make the folder of NYUDv2Dataset from the official file of NYU Depth v2, nyu_depth_v2_labeled.mat.

python tools/dataset_converters/nyud_v2.py nyu_depth_v2_labeled.mat data/NYUDv2

Photos, depth in metres, 40 or 13 classes, normals computed from depth, boundaries of the annotated regions, and the
official split of 795 and 654 frames, without the white border. The file is read a frame at a time. An interrupted run
goes on where it was. Normals and boundaries are made here, so numbers do not compare with those of other copies.
"""

import argparse
import sys

from mlore_mm.apis.training.config import user_errors
from mlore_mm.datasets.nyud_labeled import Conversion, checksum, convert, is_complete, open_labeled
from mlore_mm.utils.progress import track


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('mat', help='nyu_depth_v2_labeled.mat, 2.8 GB')
    parser.add_argument('out', help='the folder to write')
    parser.add_argument('--classes', type=int, choices=(40, 13), default=40)
    parser.add_argument('--raw-depth', action='store_true', help='depth as measured, with holes, not in-painted')
    parser.add_argument('--no-crop', action='store_true', help='keep the white border of the images')
    parser.add_argument('--sha256', help='refuse a file with another checksum')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    with user_errors():
        with open_labeled(args.mat) as file:
            frames = len(file['images'])
        digest = checksum(args.mat)
        print(f'{args.mat}: {frames} frames, SHA-256 {digest}')
        if args.sha256 and args.sha256.lower() != digest:
            raise ValueError(f'{args.mat} is not the file that is meant: its SHA-256 is {digest}, not {args.sha256}.')
        if not is_complete(frames):
            print(f'warning: the official file has 1449 frames and this one {frames}; the splits list those it has')
        options = Conversion(args.classes, args.raw_depth, not args.no_crop)
        written = sum(track(convert(args.mat, args.out, options, digest), frames, 'converting', 'frames'))
    print(f'{args.out}: {written} frames written, {frames - written} were there.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
