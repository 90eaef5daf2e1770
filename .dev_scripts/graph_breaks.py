"""Count the graph breaks of torch.compile in our networks: MLoRE in its forms, and every system at toy size.

Example:
    python .dev_scripts/graph_breaks.py mlore pad_net

Nothing is compiled, only traced, which takes half a minute for each. Without names all are traced. The status is 1 if
there is a break, which is printed with its place.
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mlore_mm.routing import trace_routing
from tests.systems import SYSTEMS, batch
from tests.test_models.test_fast_paths import build, in_form


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'mlore, {", ".join(SYSTEMS)}')
    names = parser.parse_args().names or ['mlore', *SYSTEMS]
    return 1 if sum(breaks_of(name) for name in names) else 0


def breaks_of(name: str) -> int:
    """Breaks of one system, in training and in evaluation."""
    if name == 'mlore':
        model, images = build(('semseg', 'edge')), torch.randn(2, 3, 32, 48)
        return count(name, model, images, True) + sum(
            count(f'{name}, {form}', in_form(model, form), images, False) for form in ('wide', 'folded', 'deploy')
        )
    model = SYSTEMS[name].build()
    images, _ = batch(model, SYSTEMS[name].size, 2)
    return sum(count(name, model, images, train) for train in (True, False))


def count(name: str, model, images: torch.Tensor, train: bool) -> int:
    """Trace the network once and print what was found."""
    torch._dynamo.reset()
    model.train(train)
    with torch.set_grad_enabled(train), trace_routing():
        found = torch._dynamo.explain(type(model).network)(model, images, list(model.tasks.main))
    mode = 'training' if train else 'evaluation'
    print(f'{name}, {mode}: {found.graph_count} graph(s), {found.graph_break_count} break(s)', flush=True)
    for reason in found.break_reasons:
        frame = reason.user_stack[-1]
        print(f'    {frame.filename}:{frame.lineno}: {reason.reason.splitlines()[0]}')
    return found.graph_break_count


if __name__ == '__main__':
    sys.exit(main())
