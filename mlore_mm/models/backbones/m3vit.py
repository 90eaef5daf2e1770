"""M3ViT: a plain vision transformer whose every second MLP is a mixture of experts, routed by task."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mlore_mm.models.backbones.upcycle import adapt_dense_checkpoint
from mlore_mm.models.backbones.vit import (
    ARCH_KEYS,
    PatchEmbed,
    SelfAttention,
    TransformerLayer,
    architecture,
    embed_patches,
)
from mlore_mm.models.layers.token_mixture import TokenMixture
from mlore_mm.models.layers.token_router import ConditionedRouter, MultiGateRouter, TaskFeatures
from mlore_mm.registry import MODELS

GATES = ('multi', 'conditioned')


@MODELS.register_module()
class M3ViT(BaseModule):
    """ViT/16 that runs once per task; in its odd blocks the task decides which experts a token goes to.

    Attention, norms, experts and patch embedding are shared by the tasks, the routers are their own. The class token
    goes through everything, routers included, and is dropped from the output. There is no final norm: the decoders have
    one. All tasks in one call (:meth:`forward_folded`) share what comes before the first router.

    Weights of a dense ViT load as well: the experts are cut out of its MLPs, see :func:`adapt_dense_checkpoint`.

    Source: M3ViT (Liang et al., NeurIPS 2022). Differs: an input of another size gets the position embedding resized.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        arch: As in :class:`PlainViT`; published: small and base, both with 12 heads.
        img_size: (H, W) that the position embedding is stored for, or one number.
        patch_size: Pixels per token side.
        num_experts: E; one number, or one per mixture (every second block).
        top_k: Experts per token.
        expert_ratio: Width of an expert over embed_dims.
        gate: 'multi', a router per task, or 'conditioned', one router that is told the task.
        task_dims: D, width of what a conditioned router is told.
        gate_input_ahead: Routers look at the block's input, before norm and attention.
        noise: Deviation of the logits' noise in training, sigma of sigma / E; 'softplus' learns it, and selects before
            the softmax.
        gate_init: 'uniform', as published (within 1 / sqrt(E), so that gates are far from even at the start), or
            'normal' with deviation 0.02.
        mlp_ratio: Width of the dense MLPs over embed_dims.
        drop_path_rate: Stochastic depth, rising linearly from 0 to this; published: 0.
        expert_grad_scale: Factor of the experts' gradients; 2 reproduces the published training on two GPUs, where
            those were sums and all others means.
        with_cp: Activation checkpointing of the blocks.
        init_cfg: As in mmengine.

    Raises:
        ValueError: An unknown gate, or numbers that do not fit each other.
    """

    config_keys = dict(arch=ARCH_KEYS)
    call_mode, needs_tasks = 'per_task', True

    def __init__(
        self,
        tasks: Mapping | Sequence[str],
        arch: str | dict = 'small',
        img_size: int | Sequence[int] = (512, 512),
        patch_size: int = 16,
        num_experts: int | Sequence[int] = 16,
        top_k: int = 4,
        expert_ratio: float = 1,
        gate: str = 'multi',
        task_dims: int = 64,
        gate_input_ahead: bool = False,
        noise: float | str = 0.0,
        gate_init: str = 'uniform',
        mlp_ratio: int = 4,
        drop_path_rate: float = 0.0,
        expert_grad_scale: float = 1.0,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if gate not in GATES or gate_init not in ('uniform', 'normal'):
            raise ValueError(
                f"M3ViT knows gate 'multi' and 'conditioned' and gate_init 'uniform' and 'normal', but got {gate!r} "
                f'and {gate_init!r}.'
            )
        self.tasks = list(tasks)
        self.embed_dims, depth, heads = architecture(arch)
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        if size[0] % patch_size or size[1] % patch_size:
            raise ValueError(f'img_size={size} has to be a multiple of patch_size={patch_size}.')
        if int(expert_ratio * self.embed_dims) < 1:
            raise ValueError(f'expert_ratio={expert_ratio} of {self.embed_dims} channels leaves experts no width.')
        self.patch_size, self.with_cp, self.gate_init = patch_size, with_cp, gate_init
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        self.patch_embed = PatchEmbed(self.embed_dims, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], self.embed_dims))
        self.task_features = TaskFeatures(self.tasks, task_dims) if gate == 'conditioned' else None

        gate_cfg = dict(top_k=top_k, noise=noise, noise_per_expert=noise != 'softplus', pre_softmax=noise == 'softplus')
        counts = _per_layer(num_experts, depth // 2)
        rates = [drop_path_rate * i / max(depth - 1, 1) for i in range(depth)]
        self.layers = nn.ModuleList()
        for i, rate in enumerate(rates):
            if i % 2 == 0:
                self.layers.append(TransformerLayer(self.embed_dims, heads, mlp_ratio, rate))
                continue
            experts = counts[i // 2]
            router = (
                MultiGateRouter(self.tasks, self.embed_dims, experts, gate_cfg)
                if gate == 'multi'
                else ConditionedRouter(self.embed_dims, task_dims, experts, gate_cfg)
            )
            mixture = TokenMixture(self.embed_dims, int(expert_ratio * self.embed_dims), experts, top_k)
            name = f'backbone/block{i}'
            self.layers.append(MixtureLayer(self.embed_dims, heads, router, mixture, name, gate_input_ahead, rate))
        self._reset_mixtures()
        if expert_grad_scale != 1:
            for layer in self.layers[1::2]:
                for parameter in layer.mixture.parameters():
                    parameter.register_hook(lambda grad: grad * expert_grad_scale)
        self.register_load_state_dict_pre_hook(adapt_dense_checkpoint)

    @property
    def level_channels(self) -> list[int]:
        """Channels of the one level."""
        return [self.embed_dims]

    def forward(self, x: Tensor, task_id: int) -> tuple[Tensor]:
        """Images (B, 3, H, W), H and W multiples of the patch size, and a task's position, to one map (B, d, h, w).

        Raises:
            ValueError: A size that is not a multiple of the patch size.
        """
        return (self._run(x, [task_id])[0],)

    def forward_folded(self, x: Tensor, task_ids: Sequence[int]) -> tuple[Tensor]:
        """The same for several tasks at once, to one map (T, B, d, h, w)."""
        return (self._run(x, task_ids),)

    def _run(self, images: Tensor, task_ids: Sequence[int]) -> Tensor:
        tasks = [self.tasks[i] for i in task_ids]
        x, grid = embed_patches(self, images, 'bilinear')
        x = x[None]  # (1, B, L, d) until the first mixture, then (T, B, L, d)
        features = None if self.task_features is None else self.task_features(tasks)
        for layer in self.layers:
            args = (tasks, features) if isinstance(layer, MixtureLayer) else ()
            if self.with_cp and self.training:
                x = checkpoint(_call, layer, x, *args, use_reentrant=False)
            else:
                x = _call(layer, x, *args)
        x = x.expand(len(tasks), -1, -1, -1)[:, :, -grid[0] * grid[1] :]
        return x.transpose(2, 3).unflatten(3, grid).contiguous()

    def init_weights(self) -> None:
        """As published: truncated normal (0.02) for linear layers and embeddings, uniform for experts and routers."""
        for module in self.modules():
            if isinstance(module, nn.Linear | SelfAttention):
                weight = module.weight if isinstance(module, nn.Linear) else module.in_proj_weight
                nn.init.trunc_normal_(weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for embedding in (self.pos_embed, self.cls_token):
            nn.init.trunc_normal_(embedding, std=0.02)
        super().init_weights()  # before the mixtures, whose parts have rules of their own, only where nothing is loaded

    def mixtures(self) -> dict[str, 'MixtureLayer']:
        """The routed layers by their names in routing records."""
        return {layer.name: layer for layer in self.layers[1::2]}

    def keep_task(self, task: str, experts: Mapping[str, Tensor]) -> dict:
        """See :func:`mlore_mm.models.one_task.keep_task`."""
        for name, layer in self.mixtures().items():
            layer.router.keep_experts(task, experts[name])
            layer.mixture.keep_experts(experts[name])
        return dict(num_experts=[layer.mixture.num_experts for layer in self.mixtures().values()])

    def _reset_mixtures(self) -> None:
        """kaiming_uniform(a=sqrt(5)) of the stacked tensors, whose fan-in is the product of the last two axes."""
        for layer in self.layers[1::2]:
            for linear in (layer.mixture.fc1, layer.mixture.fc2):
                linear.reset(1 / math.sqrt(linear.weight[0].numel()))
            layer.router.reset(1 / math.sqrt(layer.mixture.num_experts) if self.gate_init == 'uniform' else None)


class MixtureLayer(nn.Module):
    """Pre-norm transformer layer with a mixture of experts for its MLP.

    ``x = x + attention(LN1 x)``; ``u = LN2 x``; ``x = x + mixture(u, router(u))``.

    Args:
        embed_dims: d.
        heads: Attention heads.
        router: Tokens and tasks to a :class:`Routing`.
        mixture: The experts.
        name: Layer name in routing records.
        gate_input_ahead: The router sees the layer's input instead of u.
        drop_path: Rate of stochastic depth.
    """

    def __init__(
        self,
        embed_dims: int,
        heads: int,
        router: MultiGateRouter | ConditionedRouter,
        mixture: TokenMixture,
        name: str,
        gate_input_ahead: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.attn = nn.ModuleDict(dict(attn=SelfAttention(embed_dims, heads)))
        self.ln2 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.router, self.mixture, self.name = router, mixture, name
        self.gate_input_ahead = gate_input_ahead
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, tasks: Sequence[str], features: Tensor | None = None) -> Tensor:
        """Tokens (T, B, L, d), or (1, B, L, d) that the tasks share, to (T, B, L, d)."""
        before = x
        x = x + self._dropped(_in_one_batch(self.attn['attn'], self.ln1(x)))
        u = self.ln2(x)
        routing = self.router(before if self.gate_input_ahead else u, tasks, features)
        for i, task in enumerate(tasks):
            routing.of(i).record(self.name, task)
        return x + self._dropped(self.mixture(u, routing))

    def _dropped(self, x: Tensor) -> Tensor:
        return _in_one_batch(self.drop_path, x) if self.training else x


def _call(layer: nn.Module, x: Tensor, *args) -> Tensor:
    """A layer on (T, B, L, d); dense ones know no tasks."""
    return layer(x, *args) if args else _in_one_batch(layer, x)


def _in_one_batch(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of (B, L, d) on (T, B, L, d)."""
    if torch.compiler.is_exporting():  # which cannot join an axis of tasks with one of a size to be chosen later
        return torch.stack([function(part) for part in x.unbind()])
    return function(x.flatten(0, 1)).view_as(x)


def _per_layer(num_experts: int | Sequence[int], layers: int) -> list[int]:
    counts = [num_experts] * layers if isinstance(num_experts, int) else list(num_experts)
    if len(counts) != layers:
        raise ValueError(
            f'num_experts is one number or one per mixture, but got {counts} for {layers} mixtures (every second '
            'block).'
        )
    return counts
