"""The options that command lines around :class:`MultiTaskInferencer` share."""

import argparse
from collections.abc import Sequence

from mmengine.config import DictAction

from mlore_mm.apis.inference.inferencer import MultiTaskInferencer
from mlore_mm.utils.half_precision import DTYPES


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that the demos for pictures and videos share."""
    parser.add_argument('model', help='config file, or a name of model-index.yml')
    parser.add_argument('checkpoint', nargs='?', help='file or URL (default: what model-index.yml names)')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='compute these tasks only')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: an accelerator where there is one)')
    parser.add_argument('--amp', action='store_true', help='run the network in 16 bits: fp16 on a GPU, bf16 on a CPU')
    parser.add_argument('--dtype', choices=DTYPES, help='what the network computes in, in place of --amp')
    parser.add_argument('--deploy', action='store_true', help='fold the experts for good: faster, more memory')
    parser.add_argument('--compile', action='store_true', help='torch.compile; the first picture takes minutes')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures at a time (default: %(default)s)')
    parser.add_argument(
        '--max-size',
        default='train',
        metavar='PIXELS',
        help="longest side at which pictures are taken in; 'train' for the training size, 'none' for no limit",
    )
    parser.add_argument(
        '--slide', nargs='*', type=int, metavar='PIXELS', help='windows of this (or H W, or the training) size'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')


def make_inferencer(args: argparse.Namespace) -> MultiTaskInferencer:
    size = args.max_size.lower()
    return MultiTaskInferencer(
        args.model,
        args.checkpoint,
        device=args.device,
        amp=args.amp,
        dtype=args.dtype,
        deploy=args.deploy,
        compile=args.compile,
        max_size=None if size == 'none' else int(size) if size.isdigit() else size,
        slide=_window(args.slide),
        cfg_options=args.cfg_options,
    )


def parse_source(text: str) -> str | int:
    """The number of a camera where the text is a number, else the text."""
    return int(text) if text.isdigit() else text


def _window(sizes: Sequence[int] | None) -> bool | tuple[int, int]:
    """``--slide``: not given, given alone, or with one or two numbers."""
    if sizes is None:
        return False
    return (sizes[0], sizes[-1]) if sizes else True
