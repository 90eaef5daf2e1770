"""What an extracted task keeps of the whole model: experts, size, time, and its metric."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mlore_mm.apis.analysis.benchmark import images_per_second, random_batches
from mlore_mm.apis.analysis.flops import build_for_counting, count_macs
from mlore_mm.apis.analysis.routing_report import collect_routing, evaluate, load_dataset
from mlore_mm.apis.inference.photo_pipeline import image_size
from mlore_mm.converters.extract_task import ExtractedTask
from mlore_mm.models.one_task import mixtures


@dataclass(frozen=True)
class Cost:
    """Parameters, multiply-accumulates of an image, and seconds for an image."""

    parameters: int
    macs: int
    seconds: float


def measure_use(model: nn.Module, task: str, images: int, split: str = 'train') -> dict[str, Tensor]:
    """By mixture of the encoder, for which share of the tokens a task chose each expert (E,).

    Args:
        model: A trained model that :func:`init_model` returned.
        task: Which one.
        images: The first so many of the split, through its pipeline.
        split: Not the one that the extracted model is tested on.
    """
    if not mixtures(model):
        return {}
    layers = collect_routing(model, load_dataset(model.cfg, split, images), [task])
    return {name: torch.from_numpy(layer.selection[0]) for name, layer in layers.items() if layer.tasks == (task,)}


def measure_cost(model: nn.Module, cfg: Config, tasks: Sequence[str], images: int = 20) -> Cost:
    """What predicting these tasks costs at the size that the model is made for; time over ``images`` of noise."""
    size = image_size(cfg)
    macs = count_macs(build_for_counting(cfg, size), size, tasks)['total']
    speed = images_per_second(model, random_batches(size, images + 3), tasks, warmup=3)
    return Cost(sum(p.numel() for p in model.parameters()), macs, 1 / speed)


def measure_metric(model: nn.Module, task: str, max_images: int | None = None) -> float:
    """The headline number of a task on the validation set of the model's config."""
    dataset = load_dataset(model.cfg, 'val', max_images)
    return evaluate(model, model.cfg, dataset, model.tasks.subset([task]))[task]


def experts_table(extracted: ExtractedTask) -> str:
    """A line per mixture: how many experts are left, and which."""
    return '\n'.join(
        f'{name:<24} {len(ids):>3} of {count:<3} {" ".join(map(str, ids))}'
        for name, (ids, count) in extracted.experts.items()
    )


def costs_table(costs: dict[str, Cost], metric: str = '', values: Sequence[float] = ()) -> str:
    """A column per model; the metric's ``values`` are those of the last columns."""
    rows = [('', list(costs))]
    rows.append(('parameters, M', [f'{cost.parameters / 1e6:.3f}' for cost in costs.values()]))
    rows.append(('GMAC', [f'{cost.macs / 1e9:.3f}' for cost in costs.values()]))
    rows.append(('ms per image', [f'{1e3 * cost.seconds:.1f}' for cost in costs.values()]))
    if values:
        rows.append((metric, [''] * (len(costs) - len(values)) + [f'{value:.4f}' for value in values]))
    return '\n'.join(f'{name:<16}' + ''.join(f'{cell:>20}' for cell in cells) for name, cells in rows)
