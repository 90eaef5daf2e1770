"""Measure the decoder and the model in every form against the literal form, and print a table of ratios.

python benchmarks/run.py --quick

Forms take turns (A, B, A, B, ...) and medians are given; ratios are the literal form's value over the other's, so more
is better. Memory is measured in a process of its own each. The whole table takes hours on two cores.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import peak_memory
import stopwatch
import torch
from results import Row, machine_line, markdown, write_into
from setups import (
    CONFIGS,
    FORMS,
    build_model,
    decoder_forms,
    decoder_step,
    forward_only,
    make_features,
    make_images,
    model_forward,
    model_step,
    read_config,
    settle_norms,
)
from stopwatch import interleaved, matrix_product

from mlore_mm.apis.analysis.flops import build_for_counting, count_macs, set_form
from mlore_mm.apis.inference.photo_pipeline import image_size

SECTIONS = ('equality', 'decoder', 'limit', 'model', 'train', 'model-train', 'memory', 'model-memory', 'pipeline')
QUICK = ('equality', 'decoder', 'limit', 'model', 'train', 'memory')


class Bench:
    """Everything measured of one configuration, batch size and precision."""

    def __init__(self, config: str, batch: int, precision: str, args: argparse.Namespace) -> None:
        self.config, self.batch, self.precision, self.args = config, batch, precision, args
        self.case = f'{config}, batch {batch}, {precision}'
        self.how = (args.device, precision)
        self.model = build_model(read_config(config), args.device)
        self.head = self.model.decode_head

    def forms(self) -> dict:
        """Made for each section: folded kernels are large, and training would have changed the statistics."""
        return decoder_forms(self.head, self.args.forms)

    def training_forms(self) -> dict:
        return {**decoder_forms(self.head, ['literal']), 'ours': self.head}

    def time(self, section: str, functions: dict) -> Iterator[Row]:
        timings = interleaved(functions, self.args.device, self.args.rounds, self.args.budget)
        base = timings['literal'].median if 'literal' in timings else None
        for name, timing in timings.items():
            note = f'{timing.spread} s in {len(timing.seconds)} rounds'
            ratio = base / timing.median if base else None
            yield Row(section, self.case, name, 1000 * timing.median, 'ms', ratio, note)

    def rows(self, section: str) -> Iterator[Row]:
        yield from getattr(self, section.replace('-', '_'))()

    # ---- sections ------------------------------------------------------------------------------------------------
    def equality(self) -> Iterator[Row]:
        """Largest deviation from the literal form; of gradients that of the norm over the norm, per parameter."""
        feats, tell = make_features(self.model, self.batch), 'Equal to the literal form'
        settle_norms(self.head, feats)
        outputs = {name: forward_only(head, feats, *self.how)().logits for name, head in self.forms().items()}
        for name, logits in outputs.items():
            if name != 'literal':
                worst = max((x - outputs['literal'][task]).abs().max().item() for task, x in logits.items())
                size = max(x.abs().max().item() for x in outputs['literal'].values())
                yield Row(tell, self.case, f'outputs, {name}', worst, note=f'largest output {size:.3g}')
        yield Row(tell, self.case, 'gradients, training', self._gradient_deviation(feats), note='worst parameter')

    def _gradient_deviation(self, feats: list) -> float:
        gradients = []
        for head in self.training_forms().values():
            torch.manual_seed(1)  # the routing noise
            decoder_step(head, feats, *self.how)()
            gradients.append([p.grad for p in self.head.parameters()])
        scale = max(g.norm().item() for g in gradients[0])
        # A parameter without influence (a bias before a batch norm) has rounding for a gradient.
        pairs = [(a, b) for a, b in zip(*gradients, strict=True) if a.norm() > 1e-5 * scale]
        return max(((a - b).norm() / a.norm()).item() for a, b in pairs)

    def decoder(self) -> Iterator[Row]:
        feats = make_features(self.model, self.batch)
        functions = {name: forward_only(head, feats, *self.how) for name, head in self.forms().items()}
        yield from self.time('Decoder, inference', functions)
        if self.args.device.startswith('cuda'):
            yield from self._kernels(functions)

    def _kernels(self, functions: dict) -> Iterator[Row]:
        from gpu_figures import kernels_per_call

        counts = {name: kernels_per_call(function) for name, function in functions.items()}
        for name, count in counts.items():
            yield Row('Kernels per forward of the decoder', self.case, name, count, '', counts['literal'] / count)

    def limit(self) -> Iterator[Row]:
        """How near the deployed decoder comes to what the machine can do."""
        feats, head = make_features(self.model, self.batch), decoder_forms(self.head, ['deploy'])['deploy']
        run = forward_only(head, feats, *self.how)
        product, operations = matrix_product(*self.how)
        timings = interleaved({'deploy': run, 'product': product}, self.args.device, self.args.rounds)
        macs = self.batch * decoder_macs(self.config)
        rate, best = 2 * macs / timings['deploy'].median, operations / timings['product'].median
        section = 'Deployed decoder against the limit'
        yield Row(section, self.case, 'deployed decoder', rate / 1e9, 'GFLOP/s', note=f'{2 * macs / 1e9:.1f} GFLOP')
        yield Row(section, self.case, 'large matrix product', best / 1e9, 'GFLOP/s')
        yield Row(section, self.case, 'share of the matrix product', rate / best)
        if self.args.device.startswith('cuda'):
            from gpu_figures import Roofline, least_bytes

            floor = Roofline(*self.how).floor(macs, least_bytes(head, feats, run().logits, self.precision))
            yield Row(section, self.case, 'roofline floor', 1000 * floor, 'ms')
            yield Row(section, self.case, 'time over the floor', timings['deploy'].median / floor)

    def model_section(self) -> Iterator[Row]:
        images = make_images(self.model, self.batch)
        functions = {name: model_forward(self.model, head, images, *self.how) for name, head in self.forms().items()}
        yield from self.time('Whole model, inference', functions)

    def train(self) -> Iterator[Row]:
        feats, heads = make_features(self.model, self.batch), self.training_forms()
        steps = {name: decoder_step(head, feats, *self.how) for name, head in heads.items()}
        yield from self.time('Decoder, training step', steps)

    def model_train(self) -> Iterator[Row]:
        images = make_images(self.model, self.batch)
        heads = self.training_forms()
        steps = {name: model_step(self.model, head, images, *self.how) for name, head in heads.items()}
        yield from self.time('Whole model, training step', steps)

    def memory(self, part: str = 'decoder') -> Iterator[Row]:
        options = dict(config=self.config, part=part, batch=self.batch, device=self.args.device)
        options['precision'] = self.precision
        peaks = {form: peak_memory.measure(dict(options, form=form)) for form in ('literal', 'ours')}
        section = f'Peak memory of a training step, {"decoder" if part == "decoder" else "whole model"}'
        for form, peak in peaks.items():
            yield Row(section, self.case, form, peak / 2**20, 'MiB', peaks['literal'] / peak)

    def model_memory(self) -> Iterator[Row]:
        yield from self.memory('model')


def decoder_macs(config: str) -> int:
    """Multiply-accumulates of the deployed decoder for one image, all of which are really computed."""
    cfg = read_config(config)
    model = build_for_counting(cfg)
    set_form(model, 'deploy')
    macs = count_macs(model, image_size(cfg))
    return macs['total'] - macs['encoder']


def input_pipeline() -> Iterator[Row]:
    """Images per second of one worker, by the script beside this one."""
    script = Path(__file__).with_name('input_pipeline.py')
    output = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    for line in output.splitlines():
        if 'images/s' in line:
            name, rest = line[:26].strip(), line[26:].split()
            yield Row('Input pipeline', 'one worker', name, float(rest[0]), 'images/s', note=f'{rest[5]} x literal')


def measure(args: argparse.Namespace) -> Iterator[Row]:
    for config in args.configs:
        for batch in args.batch:
            for precision in args.precision:
                bench = Bench(config, batch, precision, args)
                for section in args.only:
                    if section != 'pipeline':
                        yield from bench.rows('model_section' if section == 'model' else section)
                del bench
    if 'pipeline' in args.only:
        yield from input_pipeline()


def read_rows(path: str) -> dict[tuple, Row]:
    """Rows of an earlier run by their key; none where there is no file yet."""
    if not Path(path).exists():
        return {}
    rows = [Row(**values) for values in json.loads(Path(path).read_text())['rows']]
    return {row.key: row for row in rows}


def parse_args() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(',')]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='PASCAL ViT-L, batch 1, the main sections')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: %(default)s)')
    parser.add_argument('--only', type=names, help=f'sections, comma-separated: {",".join(SECTIONS)}')
    parser.add_argument('--configs', type=names, help=f'configurations, comma-separated: {", ".join(CONFIGS)}')
    parser.add_argument('--forms', type=names, default=list(FORMS), help='forms of the decoder at inference')
    parser.add_argument('--batch', type=lambda text: [int(x) for x in names(text)], help='batch sizes, as in 1,2')
    parser.add_argument('--precision', type=names, help='fp32,bf16 (default: fp32 on a CPU, both on a GPU)')
    parser.add_argument('--rounds', type=int, help='counted rounds (default: 5 on a CPU, 20 on a GPU)')
    parser.add_argument('--budget', type=float, default=120, help='seconds per comparison after three rounds')
    parser.add_argument('--cpu-seconds', action='store_true', help='one thread, its own time: for a busy machine')
    parser.add_argument('--out', metavar='FILE', help='write all values here as JSON')
    parser.add_argument('--add', action='store_true', help='keep what --out holds already and is not measured again')
    parser.add_argument('--markdown', metavar='FILE', help='put the table into this document, as docs/performance.md')
    args = parser.parse_args()
    if set(args.only or ()) - set(SECTIONS):
        parser.error(f'--only takes {", ".join(SECTIONS)}')
    if args.add and not args.out:
        parser.error('--add needs --out')
    on_gpu = args.device.startswith('cuda')
    args.only = sorted(args.only or (QUICK if args.quick else SECTIONS), key=SECTIONS.index)
    args.configs = args.configs or (['PASCAL ViT-L'] if args.quick else list(CONFIGS))
    args.batch = args.batch or ([1] if args.quick else [1, 2])
    args.precision = args.precision or (['fp32', 'bf16'] if on_gpu else ['fp32'])
    args.rounds = args.rounds or (20 if on_gpu else 5)
    unknown = (set(args.configs) - set(CONFIGS)) | (set(args.forms) - set(FORMS))
    if unknown or 'literal' not in args.forms:
        parser.error(f'unknown: {sorted(unknown)}' if unknown else '--forms has to include literal')
    return args


def main() -> None:
    args = parse_args()
    if args.device.startswith('cuda'):  # fp32 means fp32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    if args.cpu_seconds:
        torch.set_num_threads(1)
        stopwatch.CLOCK = time.process_time
    machine = machine_line(args.device) + ('; CPU time of one thread' if args.cpu_seconds else '')
    rows = read_rows(args.out) if args.add else {}
    for row in measure(args):
        rows[row.key] = row
        print(f'{row.section}: {"  ".join(row.cells())}', flush=True)
        if args.out:  # again after every row: a run that is cut short leaves what it has
            values = [asdict(row) for row in rows.values()]
            Path(args.out).write_text(json.dumps(dict(machine=machine, rows=values), indent=1))
    table = markdown(rows.values(), machine)
    print(f'\n{table}')
    if args.markdown:
        write_into(Path(args.markdown), table)


if __name__ == '__main__':
    main()
