"""A convolution whose kernel is mixed for each image out of several, entry by entry where it pays."""

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.layers.partial_weight import PartialWeight
from mlore_mm.models.ops.full_precision import without_autocast


class KernelAttention(BaseModule):
    """Shares of K kernels for each image: ``softmax((A2 relu(A1 mean(x)) + b) / tau)``, in full precision under AMP.

    Args:
        in_channels: C.
        num_kernels: K.
        reduction: The hidden layer has C // reduction units, 1 at least.
        num_tasks: With tasks, each has an embedding (C) that is added to the mean, 0 at first.
    """

    def __init__(self, in_channels: int, num_kernels: int, reduction: int = 16, num_tasks: int = 0) -> None:
        super().__init__()
        hidden = max(1, in_channels // reduction)
        self.fc1 = nn.Linear(in_channels, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, num_kernels)
        self.task_embedding = nn.Parameter(torch.zeros(num_tasks, in_channels)) if num_tasks else None
        self.register_buffer('temperature', torch.tensor(1.0))  # TemperatureAnnealHook sets it; kept in checkpoints
        self.reset()

    def forward(self, x: Tensor, task_ids: Tensor | int | None = None) -> Tensor:
        """Images (B, C, H, W), and with tasks the task of all or of each (B), to shares (B, K)."""
        with without_autocast(x):
            means = x.to(self.fc1.weight.dtype).mean(dim=(2, 3))
            if self.task_embedding is not None:
                if task_ids is None:
                    raise ValueError('A PadConv2d with num_tasks has to be told the task of its input.')
                means = means + self.task_embedding[task_ids]
            return torch.softmax(self.fc2(F.relu(self.fc1(means))) / self.temperature, dim=-1)

    def reset(self) -> None:
        nn.init.normal_(self.fc1.weight, std=math.sqrt(2 / len(self.fc1.weight)))
        nn.init.normal_(self.fc2.weight, std=math.sqrt(2 / len(self.fc2.weight)))
        nn.init.zeros_(self.fc2.bias)


class PadConv2d(PartialWeight):
    """Partially dynamic convolution: per image the kernel ``M lambda_d sum_k pi_k W_k + (1 - M) lambda_s W_s``.

    The shares pi come from :class:`KernelAttention`, see :class:`PartialWeight` for the rest. The bias is
    ``sum_k pi_k b_k``. With a mask of ones it is a dynamic convolution (Chen et al., CVPR 2020), with one of zeros an
    ordinary one.

    Source: He et al., ACL 2023. Differs: ``static_init='mean'`` and ``num_tasks`` are ours.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: As in ``nn.Conv2d``, like the next four.
        stride: See above.
        padding: See above.
        dilation: See above.
        groups: See above.
        bias: K biases.
        num_kernels: K.
        reduction: See :class:`KernelAttention`.
        scale: Which factors are learned, 'both', 'd', 's' or 'none'.
        static_init: 'independent' as published, or 'mean'.
        num_tasks: See :class:`KernelAttention`.
        init_cfg: As in mmengine.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        num_kernels: int = 4,
        reduction: int = 16,
        scale: str = 'both',
        static_init: str = 'independent',
        num_tasks: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_kernels < 1:
            raise ValueError(f'PadConv2d needs num_kernels >= 1, but got {num_kernels}.')
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.in_channels, self.out_channels, self.kernel_size, self.groups = in_channels, out_channels, kernel, groups
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.attention = KernelAttention(in_channels, num_kernels, reduction, num_tasks)
        self.kernels = nn.Parameter(torch.empty(num_kernels, out_channels, in_channels // groups, *kernel))
        self.bias = nn.Parameter(torch.zeros(num_kernels, out_channels)) if bias else None
        nn.init.normal_(self.kernels, std=self.deviation())
        self._add_partial(scale, static_init)

    @classmethod
    def like(cls, conv: nn.Conv2d, **options) -> 'PadConv2d':
        """One in the place of an ordinary convolution, with kernels of its own."""
        if conv.padding_mode != 'zeros' or isinstance(conv.padding, str):
            raise ValueError(f'PadConv2d pads with zeros and by numbers, but was to replace {conv}.')
        shape = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation)
        return cls(*shape, conv.groups, conv.bias is not None, **options).to(conv.weight)

    def forward(self, x: Tensor, task_ids: Tensor | int | None = None) -> Tensor:
        """(B, C, H, W), and with ``num_tasks`` the task of all images or of each (B), to (B, C_out, H', W')."""
        shares = self.attention(x, task_ids)
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            return self.plain(x, shares)  # files for other runtimes take batches of any size
        with without_autocast(x):
            kernels = self.combine(shares)
            bias = None if self.bias is None else (shares @ self.bias).flatten()
        batch = x.shape[0]
        y = F.conv2d(  # one convolution for all images, each a group
            x.flatten(0, 1)[None],
            kernels.flatten(0, 1).to(x.dtype),
            None if bias is None else bias.to(x.dtype),
            self.stride,
            self.padding,
            self.dilation,
            batch * self.groups,
        )
        return y[0].unflatten(0, (batch, self.out_channels))

    def plain(self, x: Tensor, shares: Tensor) -> Tensor:
        """The same as a weighted sum of K convolutions, since shares (B, K) add up to one."""
        biases = [None] * self.count if self.bias is None else self.bias
        layout = (self.stride, self.padding, self.dilation, self.groups)
        outputs = [F.conv2d(x, w, b, *layout) for w, b in zip(self.combine(), biases, strict=True)]
        return sum(shares[:, k, None, None, None] * y for k, y in enumerate(outputs))

    def init_weights(self) -> None:
        super().init_weights()
        self.attention.reset()
        if not self.is_compact:
            nn.init.normal_(self.kernels, std=self.deviation())
            self.settle()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def deviation(self) -> float:
        return math.sqrt(2 / (math.prod(self.kernel_size) * self.out_channels))

    def _adopt(self, state_dict: dict, prefix: str) -> None:
        bias = state_dict.get(f'{prefix}bias')
        if bias is not None and bias.dim() == 1 and self.bias is not None:
            state_dict[f'{prefix}bias'] = bias.expand(self.count, -1).clone()
        super()._adopt(state_dict, prefix)
        for name, x in self.attention.state_dict(prefix=f'{prefix}attention.').items():
            state_dict.setdefault(name, x)
