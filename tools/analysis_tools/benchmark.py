"""Measure images per second of a model, in mmsegmentation's manner.

Example:
    python tools/analysis_tools/benchmark.py configs/mlore/mlore_tiny_synthrooms_nyud.py none --deploy --random

The checkpoint `none` leaves the weights as initialised, which changes no speed. Images come from the config's test
data, or are noise of the test size with --random. Time runs from the preprocessed batch to predictions at
the original size.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from mlore_mm.apis import init_model, load_config
from mlore_mm.apis.analysis.benchmark import images_per_second, loader_batches, random_batches, summary
from mlore_mm.apis.inference.photo_pipeline import image_size
from mlore_mm.apis.training.config import user_errors
from mlore_mm.models.backbones import PlainViT
from mlore_mm.models.compiling import compile_network
from mlore_mm.utils.half_precision import DTYPES
from mlore_mm.utils.whole_files import write_whole

import torch


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help="checkpoint, a file or a URL, or 'none'")
    parser.add_argument('--repeat-times', type=int, default=1, help='measurements (default: %(default)s)')
    parser.add_argument('--images', type=int, default=50, help='batches per measurement, 5 of them to warm up')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--random', action='store_true', help='noise in place of the test data')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='predict these tasks only')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--dtype', choices=DTYPES, default='fp32', help='what the network computes in')
    parser.add_argument('--amp', action='store_const', const='bf16', dest='dtype', help='--dtype bf16')
    parser.add_argument('--compile', action='store_true', help='torch.compile the network')
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--deploy', action='store_true', help='fold the decoder first')
    form.add_argument('--literal', action='store_true', help='the decoder expert by expert, the baseline of speed')
    parser.add_argument('--work-dir', help='folder for the result (default: work_dirs/<config>)')
    return parser.parse_args(argv)


def build(args: argparse.Namespace, cfg) -> torch.nn.Module:
    cfg.model.backbone.pop('init_cfg', None)  # the checkpoint brings all weights
    model = init_model(cfg, None if args.checkpoint == 'none' else args.checkpoint, args.device)
    if args.deploy:
        model.switch_to_deploy()
    if args.compile:
        compile_network(model)
    if args.literal:
        if not isinstance(model.backbone, PlainViT):
            raise ValueError('The literal form exists for MLoRE on a plain ViT only; leave out --literal.')
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the baseline lies outside the package
        from benchmarks.literal_mlore import LiteralMLoREHead

        model.decode_head = LiteralMLoREHead(model.decode_head)
    return model


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with user_errors():
        cfg = load_config(args.config, work_dir=args.work_dir)
        model, speeds = build(args, cfg), []
        for index in range(args.repeat_times):
            if args.random:
                batches = random_batches(image_size(cfg), args.images, args.batch_size)
            else:
                batches = loader_batches(cfg, args.images, args.batch_size)
            speeds.append(images_per_second(model, batches, args.tasks, dtype=args.dtype))
            print(f'Run {index + 1}: {speeds[-1]:.2f} img / s', flush=True)
    form = 'deploy' if args.deploy else 'literal' if args.literal else 'as trained'
    result = dict(
        config=args.config, unit='img / s', form=form, tasks=args.tasks, batch_size=args.batch_size,
        device=args.device, dtype=args.dtype, compiled=args.compile,
        runs=[round(speed, 3) for speed in speeds], **summary(speeds),
    )  # fmt: skip
    print(f'Average fps of {args.repeat_times} evaluations: {result["average_fps"]}')
    out = Path(cfg.work_dir) / f'fps_{time.strftime("%Y%m%d_%H%M%S")}.json'
    with user_errors():
        write_whole(out, json.dumps(result, indent=4), lasting=False)
    print(f'The result is in {out}')


if __name__ == '__main__':
    main()
