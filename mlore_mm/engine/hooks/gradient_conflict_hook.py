"""Shows during training which tasks pull the shared features into opposite directions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor

from mlore_mm.models.encoded_images import EncodedImages
from mlore_mm.registry import HOOKS
from mlore_mm.utils.unwrap import bare_model
from mlore_mm.visualization.routing_plot import figure_to_image, plot_matrix


@HOOKS.register_module()
class GradientConflictHook(Hook):
    """Writes the cosine between the gradients of every two tasks at the shared features.

    A negative cosine means that a step that helps one task hurts the other there. Gradients are those of the weighted
    losses with respect to the encoder's output, all levels together.
    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020 (definition of conflict).

    Cost: each time one more pass through the encoder without gradients, and one pass forward and T backward through the
    decoder for the present batch, with the memory of a training step of the decoder. Measured on mlore_tiny with four
    tasks: 1.3 iterations, so 0.3% of the training time at the default interval. Training itself is not touched, random
    numbers and running statistics included. In distributed training the main process measures its own batch.

    Scalars: ``gradients/cos_<a>_<b>`` for every pair and ``gradients/norm_<task>``, the length of a task's gradient;
    and the matrix as a picture.

    Args:
        interval: Iterations between two measurements.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 500) -> None:
        if interval < 1:
            raise ValueError(f'GradientConflictHook needs interval >= 1, but got {interval}.')
        self.interval = interval

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if not self.every_n_train_iters(runner, self.interval) or not is_main_process():
            return
        model = bare_model(runner.model)
        names, norms, cosines = gradient_conflicts(model, data_batch)
        numbers = {f'gradients/norm_{name}': float(norm) for name, norm in zip(names, norms, strict=True)}
        for i, first in enumerate(names):
            for j in range(i + 1, len(names)):
                numbers[f'gradients/cos_{first}_{names[j]}'] = float(cosines[i, j])
        runner.visualizer.add_scalars(numbers, step=runner.iter + 1)
        figure = plot_matrix(cosines, names, 'cosine of the gradients at the shared features')
        runner.visualizer.add_image('gradients', figure_to_image(figure), step=runner.iter + 1)


def gradient_conflicts(model, data_batch: dict) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Task names, length of each task's gradient (T), and cosine between any two (T, T); 0 where a gradient is zero.

    The model runs in evaluation mode, so that dropout, routing noise and batch statistics do not blur the numbers, and
    is as before afterwards. Means are over this process's images: the others take no part.

    Raises:
        ValueError: The encoder runs once per task, so that there are no shared features.
    """
    if getattr(model.backbone, 'task_conditioned', False):
        raise ValueError('The encoder runs once per task: there are no shared features to compare gradients at.')
    images = {key: data_batch[key] for key in ('inputs', 'features') if key in data_batch}
    with _cut_behind_backbone(model) as feats, torch.enable_grad():
        inputs = model.data_preprocessor(images, False)['inputs']
        if isinstance(inputs, EncodedImages):  # the encoder is not called
            feats.extend(x.requires_grad_() for x in inputs.features.shared)
        losses = model.loss(inputs, [sample.to(inputs.device) for sample in data_batch['data_samples']])
        names = [name for name in model.tasks if f'loss_{name}' in losses]
        gradients = torch.stack([_gradient(losses[f'loss_{name}'], feats) for name in names])
    norms = gradients.norm(dim=1)
    unit = gradients / norms.clamp(min=1e-30)[:, None]
    return names, norms.cpu().numpy(), (unit @ unit.t()).cpu().numpy()


@contextmanager
def _cut_behind_backbone(model) -> Iterator[list[Tensor]]:
    """The model in evaluation mode, its encoder without gradients; the list receives the features, which are leaves."""
    feats: list[Tensor] = []

    def cut(module, args, outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        feats.extend(x.detach().requires_grad_() for x in outputs)
        return tuple(feats)

    training, frozen, average = model.training, model.frozen_backbone, model.criterion.average
    handle = model.backbone.register_forward_hook(cut)
    model.eval()
    model.frozen_backbone, model.criterion.average = True, 'process'
    try:
        yield feats
    finally:
        handle.remove()
        model.frozen_backbone, model.criterion.average = frozen, average
        model.train(training)


def _gradient(loss: Tensor, feats: Sequence[Tensor]) -> Tensor:
    """All levels' gradients as one vector, float64."""
    gradients = torch.autograd.grad(loss, feats, retain_graph=True, allow_unused=True)
    parts = (torch.zeros_like(x) if g is None else g for x, g in zip(feats, gradients, strict=True))
    return torch.cat([part.flatten() for part in parts]).double()
