"""Photos on which every patch has the colour of its expert."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mlore_mm.routing import trace_routing
from mlore_mm.routing.token_maps import best_experts
from mlore_mm.visualization.routing_plot import plot_token_experts, save_figure


@torch.no_grad()
def expert_maps(model: nn.Module, inputs: Tensor, task: str) -> dict[str, tuple[Tensor, int]]:
    """For each layer that routes tokens, the best expert of every patch (B, h, w), and how many experts there are.

    Args:
        model: In evaluation mode.
        inputs: Images (B, 3, H, W) as they come out of the preprocessor.
        task: Whose routing.

    Raises:
        ValueError: Nothing in the model routes tokens for this task.
    """
    with trace_routing() as trace:
        model(inputs, mode='tensor', tasks=[task])
    records = [record for record in trace.records if record.per_token and record.task in (task, '*')]
    if not records:
        raise ValueError(f"No layer of this model routes tokens for '{task}': there is nothing to show per patch.")
    return {record.layer: (best_experts(record, inputs.shape[-2:]), record.gates.shape[-1]) for record in records}


def write_photos(
    model: nn.Module, dataset: Dataset, out_dir: str | Path, count: int, tasks: Sequence[str] | None = None
) -> list[Path]:
    """A picture per photo and task with a panel for each layer; the files written.

    Args:
        model: The model.
        dataset: Its photos; the first ``count`` are taken.
        out_dir: The folder.
        count: Number of photos.
        tasks: All that the model predicts by default.
    """
    model.eval()
    files = []
    for i in range(min(count, len(dataset))):
        photo = dataset[i]['inputs']
        inputs = model.data_preprocessor(dict(inputs=[photo]), False)['inputs']
        pixels = photo.flip(0) if getattr(model.data_preprocessor, 'bgr_to_rgb', False) else photo
        for task in tasks or model.eval_tasks:
            maps = {name: (ids[0].cpu().numpy(), n) for name, (ids, n) in expert_maps(model, inputs, task).items()}
            figure = plot_token_experts(task, pixels.permute(1, 2, 0).cpu().numpy(), maps)
            files.append(save_figure(figure, Path(out_dir) / f'photo{i}_{task}.png'))
    return files
