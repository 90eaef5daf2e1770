"""Write a trained model to one file that runs without mlore_mm, and compare the file with the model.

Example:
    python tools/deploy/export.py configs/mlore/mlore_tiny_synthrooms_nyud.py work_dirs/quickstart/iter_500.pth \
        --format onnx --out work_dirs/quickstart/model.onnx

The file takes RGB pixels in 0..255 and returns a map per task. It carries the tasks, their classes and palettes, and
what its input has to look like; demo/onnx_demo.py shows how that is read.
"""

import argparse
import sys
from pathlib import Path

from mlore_mm.apis import init_model
from mlore_mm.apis.deploy.export import SUFFIXES, export_model
from mlore_mm.apis.deploy.export_check import TOLERANCE, check_export, photos_of_test_set
from mlore_mm.apis.inference.sources import PhotoSource
from mlore_mm.apis.training.config import user_errors

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument('--format', choices=SUFFIXES, default='onnx', help='default: %(default)s')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='these tasks only')
    parser.add_argument('--size', nargs=2, type=int, metavar=('H', 'W'), help='of the input (default: of the training)')
    parser.add_argument('--dynamic-size', action='store_true', help='leave height and width open')
    parser.add_argument('--decoded', action='store_true', help='class ids and so on, instead of scores')
    parser.add_argument('--images', metavar='PATH', help='photos to compare on (default: the first of the test set)')
    parser.add_argument('--no-check', action='store_true', help='do not compare')
    parser.add_argument('--out', metavar='FILE', help='default: beside the checkpoint')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    with user_errors():
        model = init_model(args.config, args.checkpoint, 'cpu', args.cfg_options)
        out = Path(args.out or Path(args.checkpoint.split('/')[-1]).with_suffix(SUFFIXES[args.format]))
        if args.out is None and '://' not in args.checkpoint:
            out = Path(args.checkpoint).with_suffix(SUFFIXES[args.format])
        print(f'Exporting to {out}; this takes minutes for large models.', flush=True)
        options = dict(tasks=args.tasks, size=args.size, dynamic_size=args.dynamic_size, decoded=args.decoded)
        metadata = export_model(model, out, args.format, **options)
        passed = args.no_check or report(args, model, out, metadata)
    print(f'{out} ({out.stat().st_size / 2**20:.1f} MiB) returns {", ".join(x["name"] for x in metadata["tasks"])}')
    return 0 if passed else 1


def report(args: argparse.Namespace, model, out: Path, metadata: dict) -> bool:
    """Print the comparison; whether it passed."""
    photos = (
        [photo.source for photo in PhotoSource(args.images)][:4] if args.images else photos_of_test_set(model.cfg, 4)
    )
    check = check_export(out, args.format, model, metadata, photos)
    shapes = ', '.join('x'.join(map(str, shape)) for shape in check.shapes)
    print(f'\nlargest deviation from PyTorch on {check.images} photo(s), inputs {shapes}:')
    for name, deviation in check.deviations.items():
        print(f'  {name:<12} {deviation:.2e}')
    print(
        f'time of one image on this CPU: PyTorch {check.seconds:.3f} s, {args.format} {check.exported_seconds:.3f} s\n'
    )
    if not check.passed:
        print(f'error: the deviation exceeds {TOLERANCE}', file=sys.stderr)
    return check.passed


if __name__ == '__main__':
    sys.exit(main())
