"""Count multiply-accumulates and parameters of a model, part by part, without computing anything.

Example:
    python tools/analysis_tools/get_flops.py configs/mlore/mlore_vitl_pascal.py --form wide

Convolutions, linear layers and other matrix products count, attention's among them; norms, activations and
interpolation do not. `wide` is the form of training (all experts), `folded` merges kernels for each image from the
trained weights, `deploy` from kernels kept in full and `deploy-factors` from low-rank factors, and `literal` computes
expert by expert and upsamples first, as published: 826.6 GMAC for PASCAL-Context ViT-L at 512x512. Other decoders than
MLoRE have one form, whatever it is called.
"""

import argparse
import json
import sys
from pathlib import Path

from mlore_mm.apis import load_config
from mlore_mm.apis.analysis.flops import FORMS, build_for_counting, count_macs, default_forms, set_form
from mlore_mm.apis.analysis.model_parts import run_in_parts
from mlore_mm.apis.inference.photo_pipeline import image_size
from mlore_mm.apis.training.config import user_errors
from mlore_mm.utils.whole_files import write_whole


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--shape', type=int, nargs=2, metavar=('H', 'W'), help="of the image (default: the config's)")
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='compute these tasks only')
    parser.add_argument('--form', nargs='+', choices=('literal', *FORMS), help='columns (default: all there are)')
    parser.add_argument('--out', metavar='FILE', help='write the counts here as JSON')
    return parser.parse_args(argv)


def literal_forward():
    """The literal decoder lies outside the package, beside the other baselines."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    try:
        from benchmarks.literal_parts import run_literal_in_parts
    except ModuleNotFoundError as error:
        raise ValueError('The literal form is in benchmarks/ of the source tree, which is not here.') from error
    return run_literal_in_parts


def count(cfg, form: str, shape: tuple[int, int], tasks: list[str] | None) -> dict[str, int]:
    """Multiply-accumulates by part, 'total' and 'parameters'."""
    model = build_for_counting(cfg, shape)
    if form == 'literal':
        macs = count_macs(model, shape, tasks, literal_forward())
    else:
        set_form(model, form)
        macs = count_macs(model, shape, tasks, run_in_parts)
    weights = sum(p.numel() for p in model.parameters())
    buffers = sum(b.numel() for name, b in model.named_buffers() if '.deployed.' in name)
    return dict(macs, parameters=weights + buffers)


def table(counts: dict[str, dict[str, int]]) -> str:
    """Forms side by side in GMAC, parameters (and folded kernels) in millions."""
    parts = list(dict.fromkeys(part for macs in counts.values() for part in macs))
    lines = [f'{"GMAC":<12}' + ''.join(f'{form:>16}' for form in counts)]
    for part in parts:
        name, unit = ('weights, M', 1e6) if part == 'parameters' else (part, 1e9)
        lines.append(f'{name:<12}' + ''.join(f'{macs.get(part, 0) / unit:16.1f}' for macs in counts.values()))
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with user_errors():
        cfg = load_config(args.config)
        shape = tuple(args.shape or image_size(cfg))
        counts = {form: count(cfg, form, shape, args.tasks) for form in args.form or default_forms(cfg)}
    tasks = ', '.join(args.tasks or cfg.get('task_names') or cfg.tasks)
    print(f'{args.config} at {shape[0]}x{shape[1]}, batch 1, {tasks}\n')
    print(table(counts))
    if args.out:
        with user_errors():
            write_whole(args.out, json.dumps(dict(shape=shape, tasks=tasks, macs=counts), indent=2), lasting=False)
        print(f'\nThe counts are in {args.out}')


if __name__ == '__main__':
    main()
