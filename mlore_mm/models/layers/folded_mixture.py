"""The mixture of a MLoRE block in evaluation mode as one convolution per sample and task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlore_mm.models.layers.task_modules import TaskModules
from mlore_mm.models.ops.winograd import Conv, convs3x3

if TYPE_CHECKING:
    from mlore_mm.models.layers.mlore_block import MLoREBlock


class FoldedMixture(nn.Module):
    """Experts, task expert, generic path and both batch norms, ready to be merged by gates.

    Between the first 1x1 convolution and the GELU a block is linear in its input u. With the batch norms as scales
    (a, b) and shifts, the output is ``b * (K * u) + shift`` where the D x D x 3 x 3 kernel of task t and sample s is
    ``K = a_t * sum_i g_i M_i W_i + m M_t W_t + W_generic``; only g and m depend on the input.
    Source: MLoRE (Yang et al., CVPR 2024), Sec. 3.3 (re-parameterisation).

    Build it by :meth:`of_block`. Kernels are stored flat as (D, D*9).
    """

    def __init__(self, tasks: Sequence[str], tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.precomputed = 'kernels' in tensors
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    @classmethod
    def of_block(cls, block: 'MLoREBlock', tasks: Sequence[str], precompute: bool) -> 'FoldedMixture':
        """The folded form of a block's present weights, for the named tasks."""
        scale_a, shift_a = _norm_as_affine(block.norm_experts, tasks)
        scale_b, shift_b = _norm_as_affine(block.norm, tasks)
        merged = [block.task_expert[task].merged() for task in tasks]
        bank = block.experts
        tensors = dict(
            scale_a=scale_a,
            scale_b=scale_b,
            shift=scale_b * (shift_a + block.generic_conv.bias) + shift_b,
            task_kernel=torch.stack([kernel.flatten(1) for kernel, _ in merged]),
            task_bias=torch.stack([bias for _, bias in merged]),
            generic_kernel=block.generic_conv.weight.flatten(1),
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

    def forward(self, u: Tensor, gates: Tensor, m: Tensor, tasks: Sequence[str]) -> Tensor:
        """u (T, B, D, h, w), gates (T, B, N), m (T, B) to (T, B, D, h, w); ``tasks`` are the T asked for."""
        index = [self.tasks.index(task) for task in tasks]
        kernel, bias = self.merge(gates, m, index)
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


def _rows(tensor: Tensor, index: Sequence[int]) -> Tensor:
    """``tensor[index]`` without sending the index to the device, which would be a synchronisation."""
    return tensor if list(index) == list(range(len(tensor))) else torch.stack([tensor[i] for i in index])


def _norm_as_affine(norms: TaskModules, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Batch norms in evaluation mode as scale and shift, (T, D) each."""
    scale = norms.stack(tasks, 'weight') * (norms.stack(tasks, 'running_var') + norms[tasks[0]].eps).rsqrt()
    return scale, norms.stack(tasks, 'bias') - norms.stack(tasks, 'running_mean') * scale


def _expert_biases(bank) -> Tensor:
    """Bias of each expert as one convolution, (N, D)."""
    weighted = bank.expand * bank.reduce.bias
    sums = torch.zeros(len(weighted), len(bank.ranks), dtype=weighted.dtype, device=weighted.device)
    return sums.index_add(1, bank.owner, weighted).t() + bank.expand_bias
