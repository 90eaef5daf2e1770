"""Shows during training how tasks use the experts."""

from statistics import fmean

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mlore_mm.registry import HOOKS
from mlore_mm.routing import trace_routing
from mlore_mm.routing.statistics import LayerRouting, RoutingStats
from mlore_mm.utils.unwrap import bare_model
from mlore_mm.visualization.routing_plot import figure_to_image, plot_layer, plot_overview


@HOOKS.register_module()
class RoutingHook(Hook):
    """Writes statistics of the routing to the visualizer's backends, TensorBoard among them.

    Every ``interval`` iterations the present batch runs once more in evaluation mode without gradients, which is the
    cost: a fifth of an iteration each time (measured on mlore_tiny). Training itself is not touched, random numbers
    and running statistics included. In distributed training the main process shows its own batch.

    Scalars: ``routing/<layer>/load_variation``, (std/mean)^2 of the experts' load, and ``similarity``, the share of
    experts that two tasks have in common; ``routing/entropy_<task>`` of the gates, mean over the layers; and
    ``routing/unused``, the number of experts that nobody chose. With ``usage`` also ``usage/<layer>/<task>/<expert>``,
    the share of the tokens (images) that chose it, which ``tools/analysis_tools/routing.py --training`` draws.

    Args:
        interval: Iterations between two measurements.
        image_interval: Iterations between two sets of heat maps, a multiple of ``interval``; 0 for none.
        usage: Write the use of every expert, a scalar per layer, task and expert.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 200, image_interval: int = 2000, usage: bool = False) -> None:
        if interval < 1 or image_interval < 0 or image_interval % interval:
            raise ValueError(
                f'RoutingHook needs interval >= 1 and image_interval a multiple of it, but got {interval} and '
                f'{image_interval}.'
            )
        self.interval, self.image_interval, self.usage = interval, image_interval, usage

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if not self.every_n_train_iters(runner, self.interval) or not is_main_process():
            return
        layers = _measure(runner.model, data_batch)
        step = runner.iter + 1
        runner.visualizer.add_scalars({**scalars(layers), **(usage_scalars(layers) if self.usage else {})}, step=step)
        if self.image_interval and step % self.image_interval == 0:
            runner.visualizer.add_image('routing_overview', figure_to_image(plot_overview(layers)), step=step)
            for name, layer in layers.items():
                runner.visualizer.add_image(
                    f'routing_{name}'.replace('/', '_'), figure_to_image(plot_layer(name, layer)), step=step
                )


@torch.no_grad()
def _measure(model, data_batch: dict) -> dict[str, LayerRouting]:
    model = bare_model(model)
    images = {key: data_batch[key] for key in ('inputs', 'features') if key in data_batch}
    training, stats = model.training, RoutingStats()
    model.eval()
    try:
        with trace_routing() as trace:
            model(model.data_preprocessor(images, False)['inputs'], mode='tensor')
    finally:
        model.train(training)
    stats.update(trace)
    return stats.layers()


def scalars(layers: dict[str, LayerRouting]) -> dict[str, float]:
    """The numbers that the hook writes, by tag."""
    out = {}
    for name, layer in layers.items():
        out[f'routing/{name}/load_variation'] = layer.load_variation
        out[f'routing/{name}/similarity'] = layer.mean_similarity
    tasks = next(iter(layers.values())).tasks
    for i, task in enumerate(tasks):
        out[f'routing/entropy_{task}'] = fmean(float(layer.entropy[i]) for layer in layers.values())
    out['routing/unused'] = float(sum(len(layer.unused) for layer in layers.values()))
    return out


def usage_scalars(layers: dict[str, LayerRouting]) -> dict[str, float]:
    """The share of the tokens or images for which each task chose each expert, by tag."""
    return {
        f'usage/{name}/{task}/{expert}': float(share)
        for name, layer in layers.items()
        for task, shares in zip(layer.tasks, layer.selection, strict=True)
        for expert, share in enumerate(shares)
    }
