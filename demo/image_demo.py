"""Run a trained model on your own pictures: all tasks as pictures, as numbers, and an index of both.

Example:
    python demo/image_demo.py 'photos/*.jpg' configs/mlore/mlore_tiny_synthrooms_nyud.py \
        work_dirs/quickstart/iter_500.pth --out work_dirs/demo

INPUT is a picture, a folder, a pattern in quotes, or a URL. In place of the config the name of a model in
model-index.yml will do.
"""

import argparse
import sys

from mlore_mm.apis.inference.inferencer_options import add_model_options, make_inferencer
from mlore_mm.apis.inference.result_writer import OUTPUTS
from mlore_mm.apis.training.config import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('input', help='picture, folder, pattern or URL')
    add_model_options(parser)
    parser.add_argument('--out', default='work_dirs/demo', metavar='DIR', help='default: %(default)s')
    parser.add_argument('--outputs', nargs='+', choices=OUTPUTS, default=OUTPUTS, help='what to write (default: all)')
    parser.add_argument('--skip-broken', action='store_true', help='go on where a picture cannot be used')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with user_errors():
        results = make_inferencer(args).stream(
            args.input,
            tasks=args.tasks,
            batch_size=args.batch_size,
            out_dir=args.out,
            outputs=args.outputs,
            on_error='skip' if args.skip_broken else 'raise',
        )
        count = sum(1 for _ in results)
    print(f'Results of {count} picture(s) are in {args.out}; index.json says what every file is.')


if __name__ == '__main__':
    sys.exit(main())
