"""How a trained model routes a data set, and what its experts are worth."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from mlore_mm.evaluation.functional import relative_gain
from mlore_mm.registry import DATASETS, EVALUATOR
from mlore_mm.routing import Routing, TopKGate, trace_routing
from mlore_mm.routing.statistics import LayerRouting, RoutingStats
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.whole_files import write_whole
from mlore_mm.visualization.routing_plot import plot_ablation, plot_layer, plot_overview, save_figure

Progress = Callable[[int, int], None]


def load_dataset(cfg: Config, split: str = 'test', max_images: int | None = None) -> Dataset:
    """A data set of a bound config, its first images only where ``max_images`` says so."""
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise ValueError(f'The config has no {split}_dataloader. Choose another split.')
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    dataset = DATASETS.build(loader.dataset)
    return dataset if max_images is None else Subset(dataset, range(min(max_images, len(dataset))))


@torch.no_grad()
def collect_routing(
    model: nn.Module,
    dataset: Dataset,
    tasks: Sequence[str] | None = None,
    batch_size: int = 1,
    on_progress: Progress = lambda done, total: None,
) -> dict[str, LayerRouting]:
    """Routing of every layer over a data set, in evaluation mode and so without noise.

    Raises:
        ValueError: Nothing in the model routes.
    """
    model.eval()
    stats, done = RoutingStats(), 0
    for data in DataLoader(dataset, batch_size=batch_size, collate_fn=pseudo_collate):
        inputs = model.data_preprocessor(data, False)['inputs']
        with trace_routing() as trace:
            model(inputs, mode='tensor', tasks=tasks)
        stats.update(trace)
        done += len(inputs)
        on_progress(done, len(dataset))
    return stats.layers()


def write_report(
    layers: dict[str, LayerRouting], out_dir: str | Path, ranks: dict[str, Sequence[int]], ablation: dict | None = None
) -> list[Path]:
    """``routing.json`` and a PNG per layer, of all layers, and of each ablated layer; the files written.

    Args:
        layers: What :func:`collect_routing` returned.
        out_dir: The folder.
        ranks: Ranks of the experts by layer, for the axes.
        ablation: What :func:`ablate` returned.
    """
    out_dir, content = Path(out_dir), dict(layers={name: layer.to_dict() for name, layer in layers.items()})
    files = [save_figure(plot_overview(layers), out_dir / 'overview.png')]
    for name, layer in layers.items():
        content['layers'][name]['ranks'] = list(ranks.get(name, ()))
        files.append(save_figure(plot_layer(name, layer, ranks.get(name)), out_dir / f'{_stem(name)}.png'))
    if ablation:
        content['ablation'] = ablation
        for name, row in ablation['layers'].items():
            changes = np.array([[np.nan if x is None else x for x in row[task]] for task in row], dtype=float)
            labels = [ablation['headlines'][task] for task in row]
            figure = plot_ablation(name, changes, labels, ranks.get(name))
            files.append(save_figure(figure, out_dir / f'{_stem(name)}_ablation.png'))
    path = out_dir / 'routing.json'
    write_whole(path, json.dumps(content, indent=1) + '\n', lasting=False)
    return [path, *files]


def _stem(layer: str) -> str:
    return layer.replace('/', '_')


# ---- what an expert is worth -----------------------------------------------------------------------------------
def routed_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that write routing records under their ``name`` and hold a gate, by that name."""
    named = (m for m in model.modules() if getattr(m, 'name', None) and _gates(m))
    return {module.name: module for module in named}


def expert_ranks(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Ranks of the experts of each layer that has them."""
    layers = routed_layers(model).items()
    return {name: tuple(m.experts.ranks) for name, m in layers if hasattr(getattr(m, 'experts', None), 'ranks')}


def _gates(module: nn.Module) -> list[TopKGate]:
    return [m for m in module.modules() if isinstance(m, TopKGate)]


@contextmanager
def without_expert(model: nn.Module, layer: str, expert: int) -> Iterator[None]:
    """The model with one expert's gate at zero; the other gates stay as they are, and do not fill the gap.

    Raises:
        ValueError: No such layer.
    """
    layers = routed_layers(model)
    if layer not in layers:
        raise ValueError(f"No layer '{layer}' routes in this model; those that do are {', '.join(layers) or 'none'}.")

    def remove(module: nn.Module, args: tuple, routing: Routing) -> Routing:
        return routing.without(expert)

    handles = [gate.register_forward_hook(remove) for gate in _gates(layers[layer])]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def ablate(
    model: nn.Module,
    cfg: Config,
    dataset: Dataset,
    layers: dict[str, LayerRouting],
    only: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    batch_size: int = 1,
    on_progress: Progress = lambda done, total: None,
) -> dict:
    """Change of every task's headline number when one expert of one layer is taken away.

    It costs one evaluation of the data set per expert, less those that were never chosen.

    Args:
        model: The model.
        cfg: Its bound config, for the metrics.
        dataset: With labels.
        layers: What :func:`collect_routing` returned for this data set.
        only: Layers to go through, all by default.
        tasks: Tasks to evaluate.
        batch_size: Images at a time.
        on_progress: Called with the evaluations done and all.

    Returns:
        ``baseline``: headline by task; ``headlines``: its name by task; ``layers``: for each layer, the change in
        percent per task and expert, negative for worse, and None where the whole model scores 0.
    """
    task_set = TaskSet(model.tasks).subset(tasks or model.eval_tasks)
    unknown = set(only or ()) - set(layers)
    if unknown:
        raise ValueError(f'No layer {sorted(unknown)}: known are {", ".join(layers)}.')
    chosen = [name for name in layers if not only or name in only]
    total = 1 + sum(layers[name].mean_gate.shape[1] - len(layers[name].unused) for name in chosen)

    def score() -> dict[str, float]:
        return evaluate(model, cfg, dataset, task_set, batch_size)

    whole, done, changes = score(), 1, {}
    on_progress(done, total)
    for name in chosen:
        changes[name] = {task: [] for task in task_set}
        for expert in range(layers[name].mean_gate.shape[1]):
            scores = whole
            if expert not in layers[name].unused:
                with without_expert(model, name, expert):
                    scores = score()
                done += 1
                on_progress(done, total)
            for task, definition in task_set.items():
                changes[name][task].append(_change(scores[task], whole[task], definition.higher_is_better))
    headlines = {task: f'{task} {definition.headline}' for task, definition in task_set.items()}
    return dict(images=len(dataset), baseline=whole, headlines=headlines, layers=changes)


def _change(score: float, whole: float, higher_is_better: bool) -> float | None:
    if not whole or not np.isfinite(score) or not np.isfinite(whole):
        return None
    return round(relative_gain(score, whole, higher_is_better), 4)


@torch.no_grad()
def evaluate(model: nn.Module, cfg: Config, dataset: Dataset, tasks: TaskSet, batch_size: int = 1) -> dict[str, float]:
    """Headline number of each task, by the metrics of the config."""
    options = dict(copy.deepcopy(cfg.test_evaluator), tasks=tasks.to_config(), out_file=None)
    evaluator = EVALUATOR.build(options)
    source = dataset.dataset if isinstance(dataset, Subset) else dataset
    evaluator.dataset_meta = source.metainfo
    for data in DataLoader(dataset, batch_size=batch_size, collate_fn=pseudo_collate):
        data = model.data_preprocessor(data, False)
        evaluator.process(model.predict(data['inputs'], data['data_samples'], tasks.names))
    results = evaluator.evaluate(len(dataset))
    return {name: float(results[f'{name}/{task.headline}']) for name, task in tasks.items()}
