"""Turn ViT weights of timm (.pth, .safetensors) or Google's AugReg (.npz) into the layout of mmseg or mmpretrain.

mmseg's layout is also that of our PlainViT.

Example:
    python tools/model_converters/vit2mm.py vit_large_patch16_384.safetensors checkpoints/vit_large_p16_384.pth
"""

import argparse

from mlore_mm.apis.training.config import user_errors
from mlore_mm.converters.naming import naming
from mlore_mm.converters.vit import CLASS_POSITIONS, LAYOUTS, read_vit, timm_to_mm
from mlore_mm.engine.checkpoints import write_checkpoint


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='weights to read')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument('--layout', choices=LAYOUTS, default='mmseg', help='default: %(default)s')
    parser.add_argument(
        '--grid', type=int, nargs=2, metavar=('H', 'W'), help='resize the position embedding to H x W patches'
    )
    parser.add_argument(
        '--source-grid', type=int, nargs=2, metavar=('H', 'W'), help='patches of the stored one, if not square'
    )
    parser.add_argument(
        '--class-position',
        choices=CLASS_POSITIONS,
        help='of the position embedding: keep it as it is, add a zero if it is missing (default for mmseg), or drop it '
        'with the class token (default for mmpretrain: keep)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with user_errors():
        weights = read_vit(args.src)
        with naming(args.src):
            state, left_out = timm_to_mm(weights, args.layout, args.grid, args.source_grid, args.class_position)
        write_checkpoint(dict(state_dict=state, meta={}), args.dst)
    if left_out:
        print(f'left out, as they belong to the classifier: {", ".join(left_out)}')
    print(f'Wrote {len(state)} tensors in the layout of {args.layout} to {args.dst}.')


if __name__ == '__main__':
    main()
