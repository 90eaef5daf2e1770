"""A decoder of one's own: a shared trunk, a first guess per task, and a final prediction that sees all guesses."""

from collections.abc import Sequence

import torch
from torch import nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS


@MODELS.register_module()
class GuessAndRefineHead(MultiTaskHead):
    """Two rounds of predictions; the first one is supervised in training only.

    The base class brings ``self.tasks``, ``select`` (the used levels, checked), ``to_reference`` (all levels on one
    grid) and ``active_tasks`` (the wanted tasks in the model's order).

    Args:
        embed_dims: Width of the trunk.
        kwargs: Those of :class:`MultiTaskHead`: ``tasks``, ``in_channels``, ``in_index``, ``reference_level``.
    """

    def __init__(self, *args, embed_dims: int = 32, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        channels = {name: task.out_channels for name, task in self.tasks.items()}
        self.trunk = nn.Sequential(
            nn.Conv2d(sum(self.in_channels), embed_dims, 3, padding=1), nn.BatchNorm2d(embed_dims), nn.ReLU()
        )
        self.guess = nn.ModuleDict({name: nn.Conv2d(embed_dims, c, 1) for name, c in channels.items()})
        width = embed_dims + sum(channels.values())
        self.refine = nn.ModuleDict({name: nn.Conv2d(width, c, 3, padding=1) for name, c in channels.items()})

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels of the backbone to logits (B, C_t, h, w); the model brings them to the size of the image.

        Every final prediction needs all guesses, so those are computed for whatever ``tasks`` names.
        """
        x = self.trunk(torch.cat(self.to_reference(self.select(feats)), dim=1))
        guesses = {name: conv(x) for name, conv in self.guess.items()}
        seen = torch.cat([x, *guesses.values()], dim=1)
        wanted = self.active_tasks(tasks)
        return MultiTaskOutput(
            logits={name: self.refine[name](seen) for name in wanted},
            auxiliary={'guess': {name: guesses[name] for name in wanted}} if self.training else {},
        )
