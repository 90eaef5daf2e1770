"""See how the tasks of a trained model use its experts.

Example:
    python tools/analysis_tools/routing.py configs/mlore/mlore_tiny_synthrooms_nyud.py \
        work_dirs/quickstart/iter_500.pth --out work_dirs/quickstart/routing

It runs a data set and draws, for each MoE layer, tasks x experts heat maps of the mean gate and of how often an expert
is chosen, the load of the experts, and the experts that tasks have in common; the numbers are in routing.json. With
--ablate it also takes every expert away in turn and evaluates, which costs one evaluation per expert. With --photos it
shows, where tokens are routed one by one, which expert each patch of the first photos went to. With --training it draws
how the use of experts changed in a training that had custom_hooks=[dict(type='RoutingHook', usage=True)].
"""

import argparse
import sys

from mlore_mm.apis import init_model
from mlore_mm.apis.analysis.routing_report import ablate, collect_routing, expert_ranks, load_dataset, write_report
from mlore_mm.apis.analysis.token_routing import write_photos
from mlore_mm.apis.analysis.usage_over_training import write_usage
from mlore_mm.apis.training.config import user_errors
from mlore_mm.apis.training.overrides import OverrideAction
from mlore_mm.utils.progress import ProgressLine

from mmengine.device import get_device


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument('--out', default='work_dirs/routing', metavar='DIR', help='default: %(default)s')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='test')
    parser.add_argument('--max-images', type=int, metavar='N', help='the first N images only')
    parser.add_argument('--batch-size', type=int, default=1, help='default: %(default)s')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='these tasks only')
    parser.add_argument(
        '--ablate', nargs='*', metavar='LAYER', help='what each expert is worth, in these layers (default: in all)'
    )
    parser.add_argument('--photos', type=int, default=0, metavar='N', help='draw the experts over the first N photos')
    parser.add_argument('--training', metavar='DIR', help='work folder of the training: draw the use of experts in it')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: an accelerator where there is one)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE', help='override settings'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with user_errors():
        model = init_model(args.config, args.checkpoint, args.device or get_device(), args.cfg_options)
        dataset = load_dataset(model.cfg, args.split, args.max_images)
        layers = collect_routing(model, dataset, args.tasks, args.batch_size, ProgressLine('routing'))
        ablation = None
        if args.ablate is not None:
            progress = ProgressLine('ablation', 'evaluations')
            options = dict(only=args.ablate, tasks=args.tasks, batch_size=args.batch_size, on_progress=progress)
            ablation = ablate(model, model.cfg, dataset, layers, **options)
        files = write_report(layers, args.out, expert_ranks(model), ablation)
        if args.photos:
            files += write_photos(model, dataset, args.out, args.photos, args.tasks)
        if args.training:
            files += write_usage(args.training, args.out)
    for name, layer in layers.items():
        unused = f', unused experts {layer.unused}' if layer.unused else ''
        print(f'{name}: (std/mean)² of the load {layer.load_variation:.3f}{unused}')
    print(f'{len(files)} files are in {args.out}')


if __name__ == '__main__':
    sys.exit(main())
