"""Turn a published MLoRE checkpoint into one of ours, or back.

Example:
    python tools/model_converters/mlore2mm.py mlore_pascal_vitl.pth checkpoints/mlore_vitl_pascal.pth
    python tools/model_converters/mlore2mm.py checkpoints/mlore_vitl_pascal.pth back.pth --reverse
"""

import argparse
from pathlib import Path

from mlore_mm.apis.training.config import user_errors
from mlore_mm.converters.mlore_files import convert_to_mm, convert_to_official

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mlore'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument(
        '--config', help='config that the checkpoint has to fit; without it the one that fits is looked for and named'
    )
    parser.add_argument('--reverse', action='store_true', help='from ours to the published layout')
    parser.add_argument(
        '--grid', type=int, nargs=2, metavar=('H', 'W'), help='feature map, input size / 16, where no config says it'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with user_errors():
        if args.reverse:
            report = convert_to_official(args.src, args.dst, config=args.config)
        else:
            report = convert_to_mm(args.src, args.dst, config=args.config, grid=args.grid, configs=CONFIGS)
    print(report)


if __name__ == '__main__':
    main()
