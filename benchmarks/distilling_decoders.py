"""PAD-Net and MTI-Net: our heads against the published way of computing the same, on the CPU, with equal weights.

The published way takes the messages pair by pair and computes the first predictions in evaluation as well. Times are of
the processor, the best of a few runs, so that others on the machine disturb little.

Example:
    python benchmarks/distilling_decoders.py --shape 240 320
"""

import argparse
import time
from collections.abc import Callable

import torch

from mlore_mm.models.decode_heads import MTINetHead, PADNetHead
from mlore_mm.models.layers import Distillation
from mlore_mm.tasks import TaskSet

WIDTHS = [18, 36, 72, 144]
TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=40),
    depth=dict(type='Depth'),
    normals=dict(type='SurfaceNormals'),
    edge=dict(type='Edge'),
)
AUX = ['normals', 'edge']


class PairByPair:
    """Inside, :class:`Distillation` computes as it is written."""

    def __enter__(self):
        self.ours, Distillation.forward = Distillation.forward, self._forward

    def __exit__(self, *error):
        Distillation.forward = self.ours

    @staticmethod
    def _forward(module, features, receivers=None):
        out = {}
        for t in receivers or module.receivers:
            out[t] = features[t]
            for a in module.givers:
                if a != t:
                    out[t] = out[t] + module.gate[t][a](features[a]).sigmoid() * module.value[t][a](features[a])
        return out


def best_time(function: Callable[[], object], repeats: int) -> float:
    """Seconds of the processor."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def step(head, levels) -> None:
    """Forward and backward pass of one training step."""
    output = head(levels)
    maps = [*output.logits.values(), *(x for group in output.auxiliary.values() for x in group.values())]
    sum(x.square().mean() for x in maps).backward()
    head.zero_grad()


def compare(head, levels, repeats: int) -> dict[str, tuple[float, float]]:
    """Published way and ours in seconds, for inference and for a training step."""
    groups = frozenset(['initial', *(f'scale_{s}' for s in range(4))])
    found = {}
    for mode in ('inference', 'training step'):
        head.train(mode != 'inference')

        def run(head=head, mode=mode):
            if mode != 'inference':
                return step(head, levels)
            with torch.no_grad():
                return head(levels).logits

        head.evaluated_groups = groups
        with PairByPair():
            theirs, wanted = best_time(run, repeats), run()
        head.evaluated_groups = frozenset()
        found[mode] = (theirs, best_time(run, repeats))
        if mode == 'inference':
            torch.testing.assert_close(run(), wanted, rtol=1e-4, atol=1e-4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shape', type=int, nargs=2, default=(480, 640), metavar=('H', 'W'), help='of the image')
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    levels = [torch.randn(1, c, args.shape[0] >> i + 2, args.shape[1] >> i + 2) for i, c in enumerate(WIDTHS)]
    tasks = TaskSet(TASKS, AUX)
    for head in (PADNetHead(tasks, WIDTHS), MTINetHead(tasks, WIDTHS)):
        for mode, (theirs, ours) in compare(head, levels, args.repeats).items():
            name = f'{type(head).__name__:<12} {mode:<14}'
            print(f'{name} published {theirs:7.3f} s  ours {ours:7.3f} s  {theirs / ours:.2f}x', flush=True)


if __name__ == '__main__':
    main()
