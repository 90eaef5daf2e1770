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
from tempfile import TemporaryDirectory

from mlore_mm.apis import init_model
from mlore_mm.apis.deploy.export import SUFFIXES, export_model
from mlore_mm.apis.deploy.export_check import TOLERANCE, check_export, photos_of_test_set
from mlore_mm.apis.deploy.int8 import TOLERANCE as INT8_TOLERANCE
from mlore_mm.apis.deploy.int8 import calibration_photos, compare_int8, evaluate_exported, quantise
from mlore_mm.apis.inference.sources import PhotoSource
from mlore_mm.apis.training.config import user_errors
from mlore_mm.apis.training.overrides import OverrideAction


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
    parser.add_argument('--int8', action='store_true', help='8-bit integers (onnx); checked on the validation set')
    parser.add_argument(
        '--int8-keep', nargs='+', default=[], metavar='NAME', help='modules that stay in fp32: backbone'
    )
    parser.add_argument('--calibration', metavar='PATH', help='photos for --int8 (default: of the training set)')
    parser.add_argument('--calibration-images', type=int, default=32, help='how many (default: %(default)s)')
    parser.add_argument('--check-images', type=int, metavar='N', help='of the validation set for --int8 (default: all)')
    parser.add_argument('--out', metavar='FILE', help='default: beside the checkpoint')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE', help='override settings'
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    with user_errors():
        if (args.int8_keep or args.calibration or args.check_images) and not args.int8:
            raise ValueError('--int8-keep, --calibration and --check-images are of --int8, which is not given.')
        model = init_model(args.config, args.checkpoint, 'cpu', args.cfg_options)
        out = Path(args.out or Path(args.checkpoint.split('/')[-1]).with_suffix(SUFFIXES[args.format]))
        if args.out is None and '://' not in args.checkpoint:
            out = Path(args.checkpoint).with_suffix(SUFFIXES[args.format])
        print(f'Exporting to {out}; this takes minutes for large models.', flush=True)
        options = dict(tasks=args.tasks, size=args.size, dynamic_size=args.dynamic_size, decoded=args.decoded)
        if args.int8:
            metadata, passed = export_int8(args, model, out, options)
        else:
            metadata = export_model(model, out, args.format, **options)
            passed = args.no_check or report(args, model, out, metadata)
    print(f'{out} ({out.stat().st_size / 2**20:.1f} MiB) returns {", ".join(x["name"] for x in metadata["tasks"])}')
    return 0 if passed else 1


def export_int8(args: argparse.Namespace, model, out: Path, options: dict) -> tuple[dict, bool]:
    """Write the file in int8 and print each task's number before and after; whether all are near enough."""
    if args.format != 'onnx' or args.decoded:
        raise ValueError('--int8 is for --format onnx, and not with --decoded, as scores are what is evaluated.')
    count = args.calibration_images
    if args.calibration:
        photos = [photo.source for photo in PhotoSource(args.calibration)][:count]
    else:
        photos = calibration_photos(model.cfg, count)
    with TemporaryDirectory() as folder:
        full = Path(folder) / 'fp32.onnx'
        metadata = export_model(model, full, 'onnx', **options)
        steps = quantise(full, out, photos, args.int8_keep)
        print(f'{steps["int8"]} steps in int8, {steps["fp32"]} in fp32; calibrated on {len(photos)} photos')
        if args.no_check:
            return metadata, True
        (before, slow), (after, fast) = (evaluate_exported(x, model, args.check_images) for x in (full, out))
        sizes = [sum(x.stat().st_size for x in full.parent.iterdir()), out.stat().st_size]
    rows = compare_int8(before, after, model.tasks)
    print('\ntask         headline         fp32       int8     better by')
    for row in rows:
        print(f'{row.task:<12} {row.headline:<10} {row.fp32:>10.4f} {row.int8:>10.4f} {row.better:>+10.1%}')
    print(f'size {sizes[0] / 2**20:.1f} MiB, {sizes[1] / 2**20:.1f} MiB ({sizes[0] / sizes[1]:.2f} times smaller)')
    print(f'fastest image {slow:.3f} s, {fast:.3f} s ({slow / fast:.2f} times as fast)')
    passed = all(row.passed for row in rows)
    if not passed:
        print(
            f'error: a headline is more than {INT8_TOLERANCE:.0%} worse; --int8-keep backbone costs speed and size',
            file=sys.stderr,
        )
    return metadata, passed


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
