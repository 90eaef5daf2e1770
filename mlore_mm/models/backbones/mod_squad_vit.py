"""Mod-Squad: a vision transformer in which attention heads and MLPs are experts that each task chooses from."""

from collections.abc import Callable, Mapping, Sequence

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlore_mm.models.backbones.vit import ARCH_KEYS, FeedForward, PatchEmbed, architecture, embed_patches
from mlore_mm.models.layers.mixture_attention import ExpertUsage, MixtureAttention, WideAttention, reset_experts
from mlore_mm.models.layers.token_mixture import ExpertLinear, TokenMixture
from mlore_mm.models.layers.token_router import MultiGateRouter
from mlore_mm.registry import MODELS

LEGACY_EPS = 1e-4  # what the published code adds to each probability


@MODELS.register_module()
class ModSquadViT(BaseModule):
    """ViT/16 that runs once per task, whose tokens choose query heads and MLPs among experts by the task's routers.

    Every block adds the task's embedding, ``x = x + q_t``, then attention and MLP on normalised tokens. Gates are the
    k largest probabilities as they are; they do not sum to 1, even where all experts are chosen. The class token is
    routed like any other and dropped from the output. There is no final norm: :class:`ModSquadHead` has it.

    Source: Mod-Squad (Chen et al., CVPR 2023). Differs where ``legacy`` is off: probabilities are a distribution, noise
    and the count of the experts' use are for training only. Routers run in full precision under AMP.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        arch: As in :class:`PlainViT`. Heads are ``2 * (d // heads)`` wide, twice as wide as usual, and a token chooses
            ``heads`` of them.
        img_size: (H, W) that the position embedding is stored for, or one number.
        patch_size: Pixels per token side.
        attn_experts: Query heads to choose from; one number, or one per mixture of attention.
        num_experts: MLPs to choose from; one number, or one per mixture of MLPs.
        top_k: MLPs per token.
        mlp_ratio: An MLP expert has ``int(d * mlp_ratio) // top_k`` hidden units; ordinary MLPs always have 4 d.
        twice_attn: Mixtures of attention in even blocks only, and in all blocks otherwise.
        twice_mlp: Mixtures of MLPs in odd blocks only, and in all blocks otherwise.
        noise: 'none', or 'softplus', whose deviation is learned.
        drop_path_rate: Stochastic depth, rising linearly from 0 to this.
        legacy: Number for number as published: 1e-4 on each probability, noise and counting in evaluation too.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Numbers that do not fit each other.
    """

    config_keys = dict(arch=ARCH_KEYS)
    call_mode, needs_tasks = 'per_task', True

    def __init__(
        self,
        tasks: Mapping | Sequence[str],
        arch: str | dict = 'small',
        img_size: int | Sequence[int] = (224, 224),
        patch_size: int = 16,
        attn_experts: int | Sequence[int] = 15,
        num_experts: int | Sequence[int] = 16,
        top_k: int = 4,
        mlp_ratio: float = 4,
        twice_attn: bool = True,
        twice_mlp: bool = True,
        noise: str = 'none',
        drop_path_rate: float = 0.1,
        legacy: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.tasks = list(tasks)
        self.embed_dims, depth, heads = architecture(arch)
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        if size[0] % patch_size or size[1] % patch_size:
            raise ValueError(f'img_size={size} has to be a multiple of patch_size={patch_size}.')
        self.patch_size = patch_size
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        width, head_dims = self.embed_dims, 2 * (self.embed_dims // heads)
        self.patch_embed = PatchEmbed(width, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        self.task_embedding = nn.ParameterDict({task: nn.Parameter(torch.zeros(width)) for task in self.tasks})

        attn_blocks, mlp_blocks = range(0, depth, 1 + twice_attn), range(int(twice_mlp), depth, 1 + twice_mlp)
        attn_counts = dict(zip(attn_blocks, _per_mixture('attn_experts', attn_experts, len(attn_blocks)), strict=True))
        mlp_counts = dict(zip(mlp_blocks, _per_mixture('num_experts', num_experts, len(mlp_blocks)), strict=True))

        def routed(name: str, mixture: nn.Module, k: int) -> Routed:
            gate = dict(top_k=k, noise=noise, noise_in_eval=legacy, prob_eps=LEGACY_EPS if legacy else 0.0)
            return Routed(name, self.tasks, width, mixture, gate, legacy)

        self.layers = nn.ModuleList()
        for i in range(depth):
            attn, mlp = WideAttention(width, heads, head_dims), FeedForward(width, 4 * width)
            if i in attn_counts:
                _check('attn_experts', attn_counts[i], 'heads', heads)
                attn = routed(f'backbone/block{i}/attn', MixtureAttention(width, head_dims, attn_counts[i]), heads)
            if i in mlp_counts:
                mixture = TokenMixture(width, int(width * mlp_ratio) // top_k, mlp_counts[i], top_k)
                mlp = routed(f'backbone/block{i}/mlp', mixture, top_k)
            self.layers.append(SquadLayer(width, attn, mlp, drop_path_rate * i / max(depth - 1, 1)))
        self._reset()

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
        x, grid = embed_patches(self, images)
        embedding = torch.stack([self.task_embedding[task] for task in tasks])[:, None, None].to(x.dtype)
        for layer in self.layers:
            x = layer(x + embedding, tasks)  # (B, L, d) at first, then (T, B, L, d)
        return x[:, :, 1:].transpose(2, 3).unflatten(3, grid).contiguous()

    def mixtures(self) -> dict[str, 'Routed']:
        """The routed parts by their names in routing records."""
        return {
            part.name: part for layer in self.layers for part in (layer.attn, layer.mlp) if isinstance(part, Routed)
        }

    def expert_use(self, task: str) -> dict[str, Tensor]:
        """How often the task chose each expert (E,) in training, by mixture."""
        return {name: part.usage.count[self.tasks.index(task)] for name, part in self.mixtures().items()}

    def keep_task(self, task: str, experts: Mapping[str, Tensor]) -> dict:
        """See :func:`mlore_mm.models.one_task.keep_task`."""
        sizes = dict(attn_experts=[], num_experts=[])
        for name, part in self.mixtures().items():
            part.router.keep_experts(task, experts[name])
            part.mixture.keep_experts(experts[name])
            part.usage.keep_experts(self.tasks.index(task), experts[name])
            sizes['attn_experts' if isinstance(part.mixture, MixtureAttention) else 'num_experts'].append(
                part.mixture.num_experts
            )
        return sizes

    def init_weights(self) -> None:
        """As published, unless ``init_cfg`` loads weights."""
        self._reset()
        super().init_weights()

    def _reset(self) -> None:
        """Truncated normal (0.02) for linear layers, routers, class token and positions, normal for task embeddings."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, ExpertLinear):
                reset_experts(module)
            elif isinstance(module, MultiGateRouter):
                for weight in module.parameters():
                    nn.init.trunc_normal_(weight, std=0.02)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        for parameter in self.task_embedding.values():
            nn.init.normal_(parameter)


class SquadLayer(nn.Module):
    """Pre-norm transformer layer on (T, B, L, d), either part of which may be routed."""

    def __init__(self, embed_dims: int, attn: nn.Module, mlp: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.ln1, self.attn = nn.LayerNorm(embed_dims, eps=1e-6), attn
        self.ln2, self.mlp = nn.LayerNorm(embed_dims, eps=1e-6), mlp
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, tasks: Sequence[str]) -> Tensor:
        x = x + self._dropped(_call(self.attn, self.ln1(x), tasks))
        return x + self._dropped(_call(self.mlp, self.ln2(x), tasks))

    def _dropped(self, x: Tensor) -> Tensor:
        return self.drop_path(x.flatten(0, 1)).view_as(x) if self.training else x


class Routed(nn.Module):
    """A mixture with the routers of its tasks, and the count of what they choose.

    Args:
        name: Layer name in routing records.
        tasks: Names of all tasks.
        embed_dims: d.
        mixture: Called with tokens and their routing.
        gate: Config of :class:`TopKGate`.
        count_always: In evaluation as well.
    """

    def __init__(
        self, name: str, tasks: Sequence[str], embed_dims: int, mixture: nn.Module, gate: dict, count_always: bool
    ) -> None:
        super().__init__()
        self.name, self.tasks, self.count_always = name, list(tasks), count_always
        self.router = MultiGateRouter(tasks, embed_dims, mixture.num_experts, gate)
        self.mixture = mixture
        self.usage = ExpertUsage(len(self.tasks), mixture.num_experts)

    def forward(self, u: Tensor, tasks: Sequence[str]) -> Tensor:
        """Normalised tokens (T, B, L, d) of the named tasks, to (T, B, L, d)."""
        routing = self.router(u, tasks)
        if self.training or self.count_always:
            self.usage.update(routing.experts, [self.tasks.index(task) for task in tasks])
        for i, task in enumerate(tasks):
            routing.of(i).record(self.name, task)
        return self.mixture(u, routing)


def _call(part: Callable, x: Tensor, tasks: Sequence[str]) -> Tensor:
    return part(x, tasks) if isinstance(part, Routed) else part(x)


def _per_mixture(name: str, experts: int | Sequence[int], mixtures: int) -> list[int]:
    counts = [experts] * mixtures if isinstance(experts, int) else list(experts)
    if len(counts) != mixtures:
        raise ValueError(f'{name} is one number or one per mixture, but got {counts} for {mixtures} mixtures.')
    return counts


def _check(name: str, experts: int, of: str, k: int) -> None:
    if experts < k:
        raise ValueError(f'ModSquadViT chooses {of}={k} query heads per token, of {name}={experts}: raise {name}.')
