"""Small MLoRE models with weights and statistics that are nothing special."""

import torch
from mmengine.structures import PixelData

from mlore_mm.registry import MODELS
from mlore_mm.structures import MultiTaskDataSample

TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=5),
    normals=dict(type='SurfaceNormals', loss_weight=10.0),
    edge=dict(type='Edge', loss_weight=50.0, loss=dict(type='BalancedBCELoss', pos_weight=0.9)),
    depth=dict(type='Depth'),
)


def build_mlore(
    tasks=('semseg', 'normals'),
    depth=4,
    dims=16,
    width=12,
    ranks=(3, 7, 2, 5),
    top_k=2,
    grid=(2, 3),
    backbone=(),
    **head,
):
    """A seeded model; norms and their statistics are random as well, noise deviations included."""
    model = MODELS.build(
        dict(
            type='MultiTaskEncoderDecoder',
            tasks={name: TASKS[name] for name in tasks},
            backbone=dict(
                type='PlainViT',
                arch=dict(embed_dims=dims, num_layers=depth, num_heads=2),
                img_size=[16 * x for x in grid],
                drop_path_rate=0.0,
                **dict(backbone),
            ),
            decode_head=dict(
                type='MLoREDecodeHead',
                in_channels=[dims] * 4,
                embed_dims=width,
                ranks=ranks,
                top_k=top_k,
                grid=grid,
                **dict(dict(task_rank=2), **head),
            ),
            criterion=dict(
                type='MultiTaskCriterion',
                auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=0.01)),
            ),
        )
    )
    randomise(model)
    return model


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Weights of order 1 / sqrt(fan-in), scales and variances around 1, everything else around 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in sorted(model.state_dict().items()):
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith('running_var') or (value.dim() == 1 and name.endswith('weight')):
            value.copy_(1 + 0.2 * noise.abs())
        elif value.dim() > 1 and 'pos_embed' not in name:
            value.copy_(noise * value[0].numel() ** -0.5)
        else:
            value.copy_(0.1 * noise)


def make_samples(model, images: torch.Tensor) -> list[MultiTaskDataSample]:
    """Labels with ignored pixels for every task of the model."""
    generator = torch.Generator().manual_seed(1)
    height, width = images.shape[-2:]
    labels = dict(
        semseg=lambda: torch.randint(0, 5, (1, height, width), generator=generator).float(),
        normals=lambda: torch.nn.functional.normalize(torch.randn(3, height, width, generator=generator), dim=0),
        edge=lambda: (torch.rand(1, height, width, generator=generator) > 0.8).float(),
        depth=lambda: torch.rand(1, height, width, generator=generator) * 5,
    )
    samples = []
    for _ in images:
        gt = {name: labels[name]() for name in model.tasks}
        for name, task in model.tasks.items():
            gt[name][:, :5] = task.ignore_value
        samples.append(MultiTaskDataSample(gt=PixelData(**gt)))
    return samples
