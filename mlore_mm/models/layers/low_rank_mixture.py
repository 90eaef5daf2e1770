"""The mixture of a MLoRE block: its parts, and its definition as the paper's equation reads."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlore_mm.models.layers.low_rank_expert import LowRankExpertBank
from mlore_mm.models.layers.task_modules import TaskModules
from mlore_mm.models.layers.task_router import BlockRouting


class MixtureParts(NamedTuple):
    """The layers between the routers and the GELU of a block.

    Attributes:
        experts: The N shared low-rank experts.
        task_expert: The task's own low-rank expert.
        generic_conv: The 3x3 convolution that all tasks share.
        norm_experts: Batch norm of the experts' sum, per task.
        norm: Batch norm of everything, per task.
        detach_generic: The gradient of the generic path reaches its own weights only, as in the published code.
    """

    experts: LowRankExpertBank
    task_expert: TaskModules
    generic_conv: nn.Conv2d
    norm_experts: TaskModules
    norm: TaskModules
    detach_generic: bool = True


class LowRankMixture:
    """``y = BN_b(BN_a(sum_i g_i expert_i(u)) + m * task_expert(u) + generic(u))``, one task and expert at a time.

    This is the definition, slow and large: every expert's output is computed and kept. The forms that models run,
    :class:`WideMixture`, :class:`ChosenMixture` and :class:`FoldedMixture`, are called alike, and tests compare them
    with this one.
    Source: MLoRE (Yang et al., CVPR 2024), Sec. 3 and Fig. 3.
    """

    def __init__(self, parts: MixtureParts) -> None:
        self.parts = parts

    def __call__(self, u: Tensor, routing: BlockRouting, tasks: Sequence[str]) -> Tensor:
        """u (T, B, D, h, w), gates (T, B, N) and factors m (T, B) to y (T, B, D, h, w)."""
        return torch.stack(
            [self.of_task(u[t], routing.gates[t], routing.factor[t], task) for t, task in enumerate(tasks)]
        )

    def of_task(self, u: Tensor, gates: Tensor, m: Tensor, task: str) -> Tensor:
        """One task: u (B, D, h, w), gates (B, N), m (B) to y (B, D, h, w)."""
        parts = self.parts
        outputs = torch.stack([parts.experts.expert(i, u) for i in range(gates.shape[1])])  # (N, B, D, h, w)
        experts = (gates.t()[:, :, None, None, None] * outputs).sum(dim=0)
        special = parts.task_expert[task](u)
        generic = parts.generic_conv(u.detach() if parts.detach_generic else u)
        y = parts.norm_experts[task](experts) + m[:, None, None, None] * special + generic
        return parts.norm[task](y)
