"""Turn a published checkpoint of one of the field's systems into one of ours, or back.

Example:
    python tools/model_converters/published2mm.py mti_net best_model.pth.tar checkpoints/mti_net.pth \
        --config configs/mti_net/mti-net_hrnet18s_nyud.py
    python tools/model_converters/published2mm.py mti_net checkpoints/mti_net.pth back.pth --reverse
"""

import argparse
from functools import partial

import mlore_mm  # noqa: F401  (registers the models)
from mlore_mm.apis.training.config import user_errors
from mlore_mm.converters import SYSTEMS, convert_to_ours, convert_to_published, reorder_sources


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('system', choices=sorted(SYSTEMS), help='whose checkpoint it is')
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument(
        '--source-order',
        nargs='+',
        metavar='TARGET=SOURCE,SOURCE',
        help='of DenseMTL: the order in which the sources of a task stood in training, such as semseg=normals,depth',
    )
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument('--config', help='config whose model the weights have to fit')
    direction.add_argument('--reverse', action='store_true', help='from ours to the published layout')
    return parser.parse_args(argv)


def parse_orders(texts: list[str]) -> dict[str, list[str]]:
    """``['a=b,c']`` to ``{'a': ['b', 'c']}``."""
    pairs = (text.partition('=') for text in texts)
    return {target: sources.split(',') for target, _, sources in pairs}


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with user_errors():
        if args.reverse:
            print(convert_to_published(args.system, args.src, args.dst))
        else:
            order = parse_orders(args.source_order or [])
            adapt = partial(reorder_sources, source_order=order) if order else None
            print(convert_to_ours(args.system, args.src, args.dst, args.config, adapt))


if __name__ == '__main__':
    main()
