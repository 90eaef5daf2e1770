"""Where the time and the memory of a training step go, by part, with the real losses on invented labels.

python benchmarks/step_profile.py --config 'PASCAL ViT-S' --batch 1

Time is processor time (one thread is what it means), the least of three steps. Memory is what autograd keeps for the
backward pass, each storage once and for the part that keeps it first.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from mmengine.structures import PixelData
from setups import CONFIGS, build_model, image_size, make_images, read_config
from torch import nn

from mlore_mm.structures import MultiTaskDataSample

OPTIMIZERS = {  # name: options; the published optimizer in PyTorch's three forms
    'Adam': dict(foreach=False),
    'Adam, foreach': dict(foreach=True),
    'Adam, fused': dict(fused=True),
}


def make_samples(model: nn.Module, batch: int) -> list[MultiTaskDataSample]:
    """Labels that are what random scores stand for."""
    samples = [MultiTaskDataSample() for _ in range(batch)]
    for sample in samples:
        maps = {}
        for name, task in model.tasks.items():
            values = task.decode(torch.randn(task.out_channels, *image_size(model)))
            maps[name] = (values > 0.5).float() if task.result_type.kind == 'probability' else values
        sample.gt = PixelData(**maps)
    return samples


class Parts:
    """Processor seconds and kept bytes by part, filled while a step runs."""

    def __init__(self, model: nn.Module) -> None:
        self.seconds, self.kept = defaultdict(float), defaultdict(int)
        self.part, self.since, self._seen = '', time.process_time(), set()
        for name, module in dict(encoder=model.backbone, decoder=model.decode_head, losses=model.criterion).items():
            module.register_forward_pre_hook(lambda *args, name=name: self.enter(f'{name}, forward'))
            module.register_forward_hook(self._leave)
        model.backbone.register_forward_hook(self._watch)

    def enter(self, part: str) -> None:
        now = time.process_time()
        self.seconds[self.part] += now - self.since
        self.part, self.since = part, now

    def _leave(self, *args) -> None:
        self.enter('all else')

    def _watch(self, module: nn.Module, inputs, features) -> None:
        """When gradients have reached the encoder's last level, its backward pass begins."""
        features[-1].register_hook(lambda grad: self.enter('encoder, backward'))

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen and not isinstance(tensor, nn.Parameter):
            self._seen.add(storage.data_ptr())
            self.kept[self.part.split(',')[0]] += storage.nbytes()
        return tensor

    def step(self, run: Callable, optimizer: torch.optim.Optimizer, parameters: list) -> dict[str, float]:
        """Seconds by part of one step."""
        self.seconds.clear(), self.kept.clear(), self._seen.clear()
        self.enter('all else')
        optimizer.zero_grad(set_to_none=True)
        with torch.autograd.graph.saved_tensors_hooks(self.keep, lambda x: x):
            loss = sum(run().values())
        self.enter('losses and decoder, backward')
        loss.backward()
        self.enter('clipping')
        nn.utils.clip_grad_norm_(parameters, 10)
        self.enter('optimizer')
        optimizer.step()
        self.enter('')
        return {name: x for name, x in self.seconds.items() if name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default='PASCAL ViT-S', choices=CONFIGS)
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--steps', type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = build_model(read_config(args.config)).train()
    images, samples = make_images(model, args.batch), make_samples(model, args.batch)
    parts, parameters = Parts(model), [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=2e-5, weight_decay=1e-6)
    steps = [parts.step(lambda: model(images, samples, mode='loss'), optimizer, parameters) for _ in range(args.steps)]
    least = {name: min(step[name] for step in steps) for name in steps[0]}
    print(f'{args.config}, batch {args.batch}, {sum(p.numel() for p in parameters) / 1e6:.0f} M parameters')
    print('| part | seconds | share | kept for backward, MB |\n|---|---:|---:|---:|')
    for name, seconds in sorted(least.items(), key=lambda x: -x[1]):
        kept = f'{parts.kept.get(name.split(",")[0], 0) / 1e6:.0f}' if name.endswith('forward') else ''
        print(f'| {name} | {seconds:.3f} | {100 * seconds / sum(least.values()):.1f} % | {kept} |')
    for name, options in OPTIMIZERS.items():
        other = torch.optim.Adam(parameters, lr=2e-5, weight_decay=1e-6, **options)
        other.step()  # makes its state
        start = time.process_time()
        other.step()
        print(f'{name}: {time.process_time() - start:.3f} s')


if __name__ == '__main__':
    main()
