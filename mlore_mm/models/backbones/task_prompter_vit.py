"""The vision transformer of TaskPrompter, which carries a prompt of every task."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mlore_mm.models.backbones.vit import (
    ARCH_KEYS,
    PatchEmbed,
    TransformerLayer,
    architecture,
    init_transformer,
    resize_stored_positions,
)
from mlore_mm.models.encoder_facts import block_indices
from mlore_mm.models.features import Features
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet

UPDATES = ('linear', 'attended')
SPATIAL, CHANNEL = 'spatial_affinity', 'channel_affinity'  # names of the extras


@MODELS.register_module()
class TaskPrompterViT(BaseModule):
    """ViT/16 in which one learnable prompt per task attends to the patches, and the patches to the prompts.

    Returns the patches at four depths, shared by the tasks, and in ``extras`` what the prompts think of them, each a
    tuple with an entry per level: 'spatial_affinity' (B, H, T, T + h*w), raw attention scores of the prompts over
    prompts and patches, and 'channel_affinity' (B, T, C, u, u), products of a prompt's map with every channel, summed
    over windows. T runs over all tasks of the model, whichever are asked for, since patches attend to all prompts.

    The input size is fixed by linear maps between channels and pixels.
    Source: TaskPrompter (Ye and Xu, ICLR 2023).
    Differs: affinities are computed at the returned depths only and attention matrices never; the class position that
    the published code keeps, and the last block's map from pixels to prompts, reach no output and do not exist.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        arch: A name of :data:`ARCHITECTURES`, or a dict with embed_dims, num_layers, num_heads.
        img_size: (H, W) of the input, or one number.
        patch_size: Pixels per token side.
        out_indices: Blocks whose output is returned; negative ones count from the end. Quarters of the depth by
            default.
        channel_windows: Number of windows u * u of the channel affinity, a square whose root divides the grid.
        prompt_len: Prompts per task; 1 is the only one that the method defines in all parts.
        prompt_update: What a prompt receives of the channels: 'linear' (as published in effect), the linear map of its
            own map, or 'attended', the linear map of the channels' sum, weighted by a softmax of the affinities.
        mlp_ratio: Width of the MLP over embed_dims.
        drop_path_rate: Stochastic depth, rising linearly from 0 to this; prompts and patches draw for themselves.
        with_cp: Activation checkpointing of the blocks.
        init_cfg: As in mmengine.
        in_channels: Channels of the image; weights of another number do not load.

    Raises:
        ValueError: A size, a number of windows or of prompts that is not possible.
    """

    config_keys = dict(arch=ARCH_KEYS)
    call_mode, needs_tasks = 'owner', True

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        arch: str | dict = 'base',
        img_size: int | Sequence[int] = (512, 512),
        patch_size: int = 16,
        out_indices: Sequence[int] | None = None,
        channel_windows: int = 1,
        prompt_len: int = 1,
        prompt_update: str = 'linear',
        mlp_ratio: int = 4,
        drop_path_rate: float = 0.15,
        with_cp: bool = False,
        init_cfg: dict | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__(init_cfg)
        self.embed_dims, depth, heads = architecture(arch)
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        if size[0] % patch_size or size[1] % patch_size:
            raise ValueError(f'img_size={size} has to be a multiple of patch_size={patch_size}.')
        if prompt_len != 1:
            raise ValueError(f'TaskPrompterViT has one prompt per task, but got prompt_len={prompt_len}.')
        if prompt_update not in UPDATES:
            raise ValueError(f'prompt_update is one of {UPDATES}, but got {prompt_update!r}.')
        self.tasks, self.patch_size, self.with_cp = list(tasks), patch_size, with_cp
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        windows = _windows(channel_windows, self.grid)
        quarters = sorted({(depth * (i + 1) // 4 - 1) % depth for i in range(4)})
        self.out_indices = block_indices(quarters if out_indices is None else out_indices, depth, 'TaskPrompterViT')

        pixels = self.grid[0] * self.grid[1]
        self.patch_embed = PatchEmbed(self.embed_dims, patch_size, in_channels)
        self.pos_embed = nn.Parameter(torch.zeros(1, pixels, self.embed_dims))
        self.prompts = nn.Parameter(torch.zeros(len(self.tasks), self.embed_dims))
        rates = [drop_path_rate * i / max(depth - 1, 1) for i in range(depth)]
        self.layers = nn.ModuleList(
            PromptedLayer(
                self.embed_dims,
                heads,
                mlp_ratio,
                rate,
                prompts=len(self.tasks),
                grid=self.grid,
                windows=windows,
                update=prompt_update if i < depth - 1 else None,
            )
            for i, rate in enumerate(rates)
        )
        self.ln1 = nn.LayerNorm(self.embed_dims, eps=1e-6)
        self.register_load_state_dict_pre_hook(_adapt_checkpoint)

    @property
    def level_channels(self) -> list[int]:
        """Channels of the levels."""
        return [self.embed_dims] * len(self.out_indices)

    def forward(self, x: Tensor, tasks: Sequence[str] | None = None) -> Features:
        """Images (B, 3, H, W) of the size it was built for; ``tasks`` changes nothing, see above.

        Raises:
            ValueError: Another size.
        """
        height, width = (n * self.patch_size for n in self.grid)
        if x.shape[-2:] != (height, width):
            raise ValueError(
                f'TaskPrompterViT is built for images of {height}x{width} and got {x.shape[-2]}x{x.shape[-1]}. '
                'Its maps between channels and pixels cannot be resized: pad or resize to that size in the pipeline, '
                'or train with another `img_size`.'
            )
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        tokens = torch.cat([self.prompts.to(x.dtype).expand(x.shape[0], -1, -1), x], dim=1)
        levels, spatial, channel = [], [], []
        for i, layer in enumerate(self.layers):
            wanted = i in self.out_indices
            if self.with_cp and self.training:
                tokens, affinities = checkpoint(layer, tokens, wanted, use_reentrant=False)
            else:
                tokens, affinities = layer(tokens, wanted)
            if not wanted:
                continue
            patches = tokens[:, len(self.tasks) :]
            patches = self.ln1(patches) if i == len(self.layers) - 1 else patches
            levels.append(patches.transpose(1, 2).unflatten(2, self.grid).contiguous())
            spatial.append(affinities[0])
            channel.append(affinities[1])
        return Features(shared=tuple(levels), extras={SPATIAL: tuple(spatial), CHANNEL: tuple(channel)})

    def init_weights(self) -> None:
        """As a plain ViT; prompts are of mean and deviation 1, cut off at -2 and 2 (so 0.72 and 0.79 in effect)."""
        init_transformer(self)
        nn.init.trunc_normal_(self.prompts, mean=1.0, std=1.0)
        super().init_weights()


class PromptedLayer(TransformerLayer):
    """Transformer layer over prompts and patches (B, T + P, C), with an exchange of prompts and channels.

    Args:
        embed_dims: C.
        heads: Attention heads.
        mlp_ratio: Width of the MLP over C.
        drop_path: Rate of stochastic depth.
        prompts: T.
        grid: (h, w), P = h * w.
        windows: u; the channel affinity is summed over u * u windows.
        update: 'linear' or 'attended', see :class:`TaskPrompterViT`; None where no later block reads the prompts.
    """

    def __init__(
        self,
        embed_dims: int,
        heads: int,
        mlp_ratio: int,
        drop_path: float,
        prompts: int,
        grid: tuple[int, int],
        windows: int,
        update: str | None,
    ) -> None:
        super().__init__(embed_dims, heads, mlp_ratio, drop_path)
        self.count, self.grid, self.windows, self.update = prompts, grid, windows, update
        pixels = grid[0] * grid[1]
        self.to_pixels = nn.Linear(embed_dims, pixels)
        self.from_pixels = nn.Linear(pixels, embed_dims) if update else None

    def forward(self, tokens: Tensor, affinities: bool = False) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Tokens, and with ``affinities`` the spatial one (B, H, T, T + P) and that of the channels (B, T, C, u, u)."""
        normed, attention = self.ln1(tokens), self.attn['attn']
        prompts, patches = normed[:, : self.count], normed[:, self.count :]
        q, k, v = attention.project(normed)
        update = attention.merge(F.scaled_dot_product_attention(q, k, v))
        found = None
        if affinities or self.update:
            maps = self.to_pixels(prompts)
            channel = self._channel_affinity(maps, patches) if affinities or self.update == 'attended' else None
            if affinities:
                found = (q[:, :, : self.count] @ k.transpose(-2, -1), channel)
            if self.update:
                seen = self._attended(channel, patches) if self.update == 'attended' else maps
                extra = self.from_pixels(seen)
                update = torch.cat([update[:, : self.count] + extra, update[:, self.count :]], dim=1)
        tokens = tokens + self._drop(update)
        return tokens + self._drop(self.ffn(self.ln2(tokens))), found

    def _channel_affinity(self, maps: Tensor, patches: Tensor) -> Tensor:
        """Maps (B, T, P) and patches (B, P, C) to (B, T, C, u, u)."""
        u = self.windows
        if u == 1:
            return (maps @ patches)[..., None, None]
        maps = _to_windows(maps.transpose(1, 2), self.grid, u)
        products = maps.transpose(-2, -1) @ _to_windows(patches, self.grid, u)  # (B, u*u, T, C)
        return products.permute(0, 2, 3, 1).unflatten(-1, (u, u))

    def _attended(self, channel: Tensor, patches: Tensor) -> Tensor:
        """Sum of the channels under a softmax of the affinities in each window, (B, T, P)."""
        h, w = self.grid
        u, pixels = self.windows, h * w
        weights = (channel * (pixels / u**2) ** -0.5).softmax(dim=2).flatten(3).permute(0, 3, 1, 2)
        sums = weights @ _to_windows(patches, self.grid, u).transpose(-2, -1)  # (B, u*u, T, pixels of a window)
        sums = sums.view(-1, u, u, self.count, h // u, w // u)
        return sums.permute(0, 3, 1, 4, 2, 5).reshape(-1, self.count, pixels)

    def _drop(self, update: Tensor) -> Tensor:
        if not self.training or not self.drop_path.drop_prob:
            return update
        return torch.cat([self.drop_path(update[:, : self.count]), self.drop_path(update[:, self.count :])], dim=1)


def _to_windows(x: Tensor, grid: tuple[int, int], u: int) -> Tensor:
    """(B, h*w, C) to (B, u*u, pixels of a window, C), windows row by row."""
    (h, w), (b, _, c) = grid, x.shape
    x = x.reshape(b, u, h // u, u, w // u, c).transpose(2, 3)
    return x.reshape(b, u * u, -1, c)


def _windows(count: int, grid: tuple[int, int]) -> int:
    u = round(count**0.5) if count > 0 else 0
    if u * u != count or not u or grid[0] % u or grid[1] % u:
        raise ValueError(
            f'channel_windows={count} has to be a square whose root divides the grid of {grid[0]}x{grid[1]} tokens, '
            'such as 1, 4 or 16.'
        )
    return u


def _adapt_checkpoint(module: TaskPrompterViT, state: dict, prefix: str, *unused) -> None:
    """Drop the class token and its position of plain ViT weights, and bring positions to this model's grid."""
    for name in ('cls_token', 'dist_token'):
        state.pop(prefix + name, None)
    key = prefix + 'pos_embed'
    if key in state and state[key].shape != module.pos_embed.shape:
        state[key] = resize_stored_positions(key, state[key], module.grid)[:, 1:]
