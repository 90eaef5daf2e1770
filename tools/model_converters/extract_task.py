"""Cut one task out of a trained model: a config and a checkpoint that are used like any other.

Example:
    python tools/model_converters/extract_task.py configs/mod_squad/mod-squad_tiny_synthrooms_nyud.py \\
        work_dirs/mod-squad_tiny_synthrooms_nyud/iter_500.pth --task depth --threshold 3

The task keeps its own head and routers, and of every mixture in the encoder (Mod-Squad, M3ViT) the experts that more
than --threshold percent of its tokens chose, though no fewer than one token chooses. MLoRE's decoder keeps what the
task's prediction takes, and is folded for inference with --deploy. Printed are the experts, and size, time and metric
before and after.
"""

import argparse
import sys
from pathlib import Path

from mlore_mm.apis import init_model, load_config
from mlore_mm.apis.analysis.extraction import (
    costs_table,
    experts_table,
    measure_cost,
    measure_metric,
    measure_use,
)
from mlore_mm.apis.training.config import user_errors
from mlore_mm.apis.training.overrides import OverrideAction
from mlore_mm.converters import extract_task
from mlore_mm.models.one_task import check_separable


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the whole model')
    parser.add_argument('checkpoint', help='its checkpoint, a file or a URL')
    parser.add_argument('--task', required=True, help='the task to extract')
    parser.add_argument(
        '--threshold', type=float, default=3.0, help='percent of the tokens that an expert needs (default: %(default)s)'
    )
    parser.add_argument('--out', metavar='DIR', help='default: work_dirs/<config>_<task>')
    parser.add_argument(
        '--use',
        choices=('counted', 'measured'),
        help='where the use of experts comes from: counted in training (Mod-Squad, the default there), or measured on '
        'training images',
    )
    parser.add_argument('--images', type=int, default=64, help='images to measure the use on (default: %(default)s)')
    parser.add_argument(
        '--deploy', nargs='?', const='kernels', choices=('kernels', 'factors'), help="fold MLoRE's decoder"
    )
    parser.add_argument('--no-test', action='store_true', help='do not evaluate')
    parser.add_argument('--max-images', type=int, metavar='N', help='evaluate on the first N validation images')
    parser.add_argument('--device', default='cpu', help='to measure on (default: %(default)s)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE', help='override settings'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with user_errors():
        run(args)


def run(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    whole, task = init_model(cfg, args.checkpoint, args.device), args.task
    check_separable(whole, task)
    counts = hasattr(whole.backbone, 'expert_use')
    if args.use == 'counted' and not counts:
        raise ValueError(f'{type(whole.backbone).__name__} counts no use of experts in training: --use measured.')
    measured = args.use == 'measured' or not counts
    use = measure_use(whole, task, args.images) if measured else None
    deploy = args.deploy and (args.deploy == 'kernels' or args.deploy)
    extracted = extract_task(cfg, whole, task, use, args.threshold, deploy or False)
    stem = f'{Path(args.config).stem}_{task}'
    config, checkpoint = extracted.write(args.out or Path('work_dirs') / stem, stem)
    alone = init_model(str(config), str(checkpoint), args.device)  # as anybody would load it

    if extracted.experts:
        print(f'experts kept for {task}:\n{experts_table(extracted)}\n')
    costs = {
        'all tasks': measure_cost(whole, cfg, list(whole.tasks.main)),
        f'{task} of them': measure_cost(whole, cfg, [task]),
        'extracted': measure_cost(alone, extracted.cfg, [task]),
    }
    metric, values = '', ()
    if not args.no_test:
        metric = whole.tasks[task].headline
        values = [measure_metric(model, task, args.max_images) for model in (whole, alone)]
    print(costs_table(costs, metric, values))
    print(f'\nWrote {config} and {checkpoint}.')


if __name__ == '__main__':
    sys.exit(main())
