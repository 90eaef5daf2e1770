"""The mixture of a MLoRE block in evaluation mode as one convolution per sample and task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlore_mm.models.layers.low_rank_expert import LowRankExpertBank
from mlore_mm.models.layers.low_rank_mixture import MixtureParts
from mlore_mm.models.layers.task_modules import TaskModules
from mlore_mm.models.layers.task_router import BlockRouting
from mlore_mm.models.ops.winograd import Conv, convs3x3


class FoldedMixture(nn.Module):
    """:class:`LowRankMixture` in evaluation mode: experts, task expert, generic path and norms, to be merged by gates.

    Between the first 1x1 convolution and the GELU a block is linear in its input u. With the batch norms as scales
    (a, b) and shifts, the output is ``b * (K * u) + shift`` where the D x D x 3 x 3 kernel of task t and sample s is
    ``K = a_t * sum_i g_i M_i W_i + m M_t W_t + W_generic``; only g and m depend on the input.
    Source: MLoRE (Yang et al., CVPR 2024), Sec. 3.3 (re-parameterisation).

    Build it by :meth:`of_parts`. Kernels are stored flat as (D, D*9).
    """

    def __init__(self, tasks: Sequence[str], tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.precomputed = 'kernels' in tensors
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    @classmethod
    def of_parts(cls, parts: MixtureParts, tasks: Sequence[str], precompute: bool) -> 'FoldedMixture':
        """The folded form of a mixture's present weights, for the named tasks, without gradients.

        Args:
            parts: In evaluation mode.
            tasks: Names.
            precompute: Keep every expert's full kernel; False keeps the low-rank factors.
        """
        scale_a, shift_a = _norm_as_affine(parts.norm_experts, tasks)
        scale_b, shift_b = _norm_as_affine(parts.norm, tasks)
        merged = [parts.task_expert[task].merged() for task in tasks]
        bank = parts.experts
        tensors = dict(
            scale_a=scale_a,
            scale_b=scale_b,
            shift=scale_b * (shift_a + parts.generic_conv.bias) + shift_b,
            task_kernel=torch.stack([kernel.flatten(1) for kernel, _ in merged]),
            task_bias=torch.stack([bias for _, bias in merged]),
            generic_kernel=parts.generic_conv.weight.flatten(1),
        )
        if precompute:
            kernels, biases = bank.kernels()
            tensors.update(kernels=kernels.flatten(1), biases=biases)
        else:
            tensors.update(
                expand=bank.expand,
                reduce=bank.reduce.weight.flatten(1),
                biases=_expert_biases(bank),
                owner=bank.owner,
            )
        return cls(tasks, {name: tensor.detach() for name, tensor in tensors.items()})

    def forward(self, u: Tensor, routing: BlockRouting, tasks: Sequence[str]) -> Tensor:
        """u (T, B, D, h, w), gates (T, B, N) and factors m (T, B) to y (T, B, D, h, w)."""
        index = [self.tasks.index(task) for task in tasks]
        kernel, bias = self.merge(routing.gates, routing.factor, index)
        d = u.shape[2]
        kernels = kernel.view(-1, d, d, 3, 3).to(u.dtype).unbind()
        out = convs3x3(u.flatten(0, 1), kernels, [Conv(s, s) for s in range(len(kernels))])
        scale, bias = _rows(self.scale_b, index)[:, None, :, None, None], bias[..., None, None]
        return torch.addcmul(bias.to(u.dtype), torch.stack(out).view_as(u), scale.to(u.dtype))

    def merge(self, gates: Tensor, m: Tensor, index: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Kernels (T, B, D, D*9) before the scale b, and biases (T, B, D) after it."""
        scale_a, scale_b = _rows(self.scale_a, index)[:, None], _rows(self.scale_b, index)[:, None]
        d = self.generic_kernel.shape[0]
        if self.precomputed:
            kernel = (gates.flatten(0, 1) @ self.kernels).view(*gates.shape[:2], d, -1)
        else:
            kernel = (self.expand * gates[..., None, self.owner]) @ self.reduce
        kernel = torch.addcmul(self.generic_kernel, kernel, scale_a[..., None])
        for t, task in enumerate(index):
            kernel[t].addcmul_(self.task_kernel[task], m[t, :, None, None])
        bias = scale_a * (gates @ self.biases) + m[..., None] * _rows(self.task_bias, index)[:, None]
        return kernel, scale_b * bias + _rows(self.shift, index)[:, None]


def folding_pays(parts: MixtureParts, pixels: int, share: float | None = None) -> bool:
    """Whether merging kernels (a cost per sample) is made good by the cheaper convolution (a gain per pixel).

    Counted in multiplications per bottleneck channel: 9 D^2 merge it; 9 D for its 3x3 convolution and D to expand it
    are spared on every pixel, or 5 D for the chosen ``share`` of channels where the wide form leaves out the others.
    """
    d = parts.generic_conv.in_channels
    spared = 10 * d if share is None else 5 * d * share
    return 9 * d * d < pixels * spared


def _rows(tensor: Tensor, index: Sequence[int]) -> Tensor:
    """``tensor[index]`` without sending the index to the device, which would be a synchronisation."""
    return tensor if list(index) == list(range(len(tensor))) else torch.stack([tensor[i] for i in index])


def _norm_as_affine(norms: TaskModules, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Batch norms in evaluation mode as scale and shift, (T, D) each."""
    scale = norms.stack(tasks, 'weight') * (norms.stack(tasks, 'running_var') + norms[tasks[0]].eps).rsqrt()
    return scale, norms.stack(tasks, 'bias') - norms.stack(tasks, 'running_mean') * scale


def _expert_biases(bank: LowRankExpertBank) -> Tensor:
    """Bias of each expert as one convolution, (N, D)."""
    weighted = bank.expand * bank.reduce.bias
    sums = torch.zeros(len(weighted), len(bank.ranks), dtype=weighted.dtype, device=weighted.device)
    return sums.index_add(1, bank.owner, weighted).t() + bank.expand_bias
