"""The plain vision transformer that MLoRE was published with."""

from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mlore_mm.models.encoder_facts import EncoderFacts, block_indices
from mlore_mm.registry import MODELS

# name: (embed_dims, num_layers, num_heads)
ARCH_KEYS = ('embed_dims', 'num_layers', 'num_heads')
ARCHITECTURES = {
    'tiny': (192, 12, 3),
    'small': (384, 12, 6),
    'base': (768, 12, 12),
    'large': (1024, 24, 16),
}


@MODELS.register_module()
class PlainViT(BaseModule):
    """ViT/16, by default without a class token, in mmsegmentation's key layout, with fused attention.

    Public ViT weights in mmsegmentation's layout load unchanged: a class token that the model does not have is dropped,
    and the position embedding is resized bicubically to this model's grid. The class position of the embedding is kept
    in the parameter in any case, as published. An input of any other size gets the embedding resized on the fly.

    Source: ViT (Dosovitskiy et al., ICLR 2021); AugReg weights (Steiner et al., 2021).

    Args:
        arch: A name of ``ARCHITECTURES``, or a dict with embed_dims, num_layers, num_heads.
        img_size: (H, W) that the position embedding is stored for, or one number.
        patch_size: Pixels per token side.
        out_indices: Blocks whose output is returned; negative ones count from the end. Quarters of the depth by
            default.
        mlp_ratio: Width of the MLP over embed_dims.
        drop_path_rate: Stochastic depth, rising linearly from 0 to this.
        final_norm: Apply the final LayerNorm to the output of the last block.
        with_cls_token: A class token takes part in all blocks, as in InvPT; it is no part of the output.
        with_cp: Activation checkpointing of the blocks: less memory, a second forward pass in training.
        init_cfg: As in mmengine.
        in_channels: Channels of the image; weights of another number do not load.
    """

    config_keys = dict(arch=ARCH_KEYS)

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | Sequence[int] = (512, 512),
        patch_size: int = 16,
        out_indices: Sequence[int] | None = None,
        mlp_ratio: int = 4,
        drop_path_rate: float = 0.15,
        final_norm: bool = True,
        with_cls_token: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__(init_cfg)
        self.embed_dims, depth, heads = architecture(arch)
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        if size[0] % patch_size or size[1] % patch_size:
            raise ValueError(f'img_size={size} has to be a multiple of patch_size={patch_size}.')
        self.patch_size, self.with_cp = patch_size, with_cp
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        quarters = sorted({(depth * (i + 1) // 4 - 1) % depth for i in range(4)})
        self.out_indices = block_indices(quarters if out_indices is None else out_indices, depth, 'PlainViT')

        self.patch_embed = PatchEmbed(self.embed_dims, patch_size, in_channels)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if with_cls_token else None
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], self.embed_dims))
        rates = [drop_path_rate * i / max(depth - 1, 1) for i in range(depth)]
        self.layers = nn.ModuleList(TransformerLayer(self.embed_dims, heads, mlp_ratio, rate) for rate in rates)
        self.ln1 = nn.LayerNorm(self.embed_dims, eps=1e-6) if final_norm else nn.Identity()
        self.register_load_state_dict_pre_hook(_adapt_checkpoint)

    @cached_property
    def facts(self) -> EncoderFacts:
        """Channels and strides of the levels, and what the sides of an image have to be multiples of."""
        levels = len(self.out_indices)
        return EncoderFacts((self.embed_dims,) * levels, (self.patch_size,) * levels, size_divisor=self.patch_size)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W), H and W multiples of the patch size, to maps (B, C, H/16, W/16), one per out_index.

        Raises:
            ValueError: A size that is not a multiple of the patch size.
        """
        x, grid = embed_patches(self, x)
        outs = []
        for i, layer in enumerate(self.layers):
            if self.with_cp and self.training:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
            if i == len(self.layers) - 1:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(x[:, -grid[0] * grid[1] :].transpose(1, 2).unflatten(2, grid).contiguous())
        return tuple(outs)

    def init_weights(self) -> None:
        """Truncated normal (std 0.02) linear layers and position embedding, unless ``init_cfg`` loads weights."""
        init_transformer(self)
        if self.cls_token is not None:
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        super().init_weights()


class PatchEmbed(nn.Module):
    """Non-overlapping patches through one linear map: (B, 3, H, W) to (B, C, H/p, W/p)."""

    def __init__(self, embed_dims: int, patch_size: int, in_channels: int = 3) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, embed_dims, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(x)


class SelfAttention(nn.Module):
    """Multi-head self-attention on (B, L, C) that never materialises the attention matrix."""

    def __init__(self, embed_dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(F.scaled_dot_product_attention(*self.project(x)))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, C) to queries, keys and values (B, heads, L, C / heads)."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        return qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def merge(self, x: Tensor) -> Tensor:
        """Attended values (B, heads, L, C / heads) to (B, L, C)."""
        return self.out_proj(x.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Linear, GELU, Linear; nested as in mmcv's FFN, so that the keys agree."""

    def __init__(self, embed_dims: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(nn.Linear(embed_dims, hidden), nn.GELU()), nn.Linear(hidden, embed_dims)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TransformerLayer(nn.Module):
    """Pre-norm transformer layer with stochastic depth, (B, L, C) to (B, L, C)."""

    def __init__(self, embed_dims: int, heads: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.attn = nn.ModuleDict(dict(attn=SelfAttention(embed_dims, heads)))  # one level more, as mmcv has it
        self.ln2 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.ffn = FeedForward(embed_dims, int(mlp_ratio * embed_dims))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn['attn'](self.ln1(x)))
        return x + self.drop_path(self.ffn(self.ln2(x)))


def embed_patches(vit: nn.Module, images: Tensor, mode: str = 'bicubic') -> tuple[Tensor, tuple[int, int]]:
    """Images (B, C, H, W) to tokens (B, [1 +] h*w, d) with their positions, the class token first; and (h, w).

    Args:
        vit: Has ``patch_embed``, ``patch_size``, ``pos_embed`` with a class position, ``grid`` that it is stored for,
            and ``cls_token`` or None.
        images: Of any size that the patches divide.
        mode: How positions are resized to another grid.

    Raises:
        ValueError: A size that is not a multiple of the patch size.
    """
    if images.shape[-2] % vit.patch_size or images.shape[-1] % vit.patch_size:
        raise ValueError(
            f'{type(vit).__name__} got an image of {tuple(images.shape[-2:])}, not a multiple of its patch size '
            f'{vit.patch_size}: set `size_divisor={vit.patch_size}` in the data preprocessor.'
        )
    x = vit.patch_embed(images)
    grid = tuple(x.shape[-2:])
    x = x.flatten(2).transpose(1, 2) + resize_pos_embed(vit.pos_embed[:, 1:], vit.grid, grid, mode).to(x.dtype)
    if vit.cls_token is None:
        return x, grid
    first = (vit.cls_token + vit.pos_embed[:, :1]).to(x.dtype)
    return torch.cat([first.expand(x.shape[0], -1, -1), x], dim=1), grid


def resize_pos_embed(pos_embed: Tensor, grid: Sequence[int], new_grid: Sequence[int], mode: str = 'bicubic') -> Tensor:
    """Patch positions (1, h*w, C) from one grid to another; unchanged where the grids agree."""
    if tuple(grid) == tuple(new_grid):
        return pos_embed
    maps = pos_embed.transpose(1, 2).unflatten(2, tuple(grid))
    maps = F.interpolate(maps.float(), size=tuple(new_grid), mode=mode, align_corners=False)
    return maps.flatten(2).transpose(1, 2)


def init_transformer(module: nn.Module) -> None:
    """Truncated normal (std 0.02) linear layers, with zero bias, and position embedding."""
    for part in module.modules():
        if isinstance(part, nn.Linear | SelfAttention):
            nn.init.trunc_normal_(part.weight if isinstance(part, nn.Linear) else part.in_proj_weight, std=0.02)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
    nn.init.trunc_normal_(module.pos_embed, std=0.02)


def architecture(arch: str | dict) -> tuple[int, int, int]:
    """(embed_dims, num_layers, num_heads) of a name or a dict."""
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ValueError(f'PlainViT knows arch {sorted(ARCHITECTURES)} or a dict, but got {arch!r}.')
        return ARCHITECTURES[arch]
    if set(arch) != set(ARCH_KEYS):
        raise ValueError(f'arch is a name or a dict of {", ".join(ARCH_KEYS)}, but got {dict(arch)}.')
    embed_dims, num_layers, num_heads = (arch[key] for key in ARCH_KEYS)
    if min(embed_dims, num_layers, num_heads) < 1 or embed_dims % num_heads:
        raise ValueError(f'arch: the heads share out embed_dims, which num_heads has to divide, but got {dict(arch)}.')
    return embed_dims, num_layers, num_heads


def _adapt_checkpoint(module: PlainViT, state: dict, prefix: str, *unused) -> None:
    """Drop what this model has no use for and bring the position embedding to its grid, before loading."""
    for name in ('dist_token',) if module.cls_token is not None else ('cls_token', 'dist_token'):
        state.pop(prefix + name, None)
    key = prefix + 'pos_embed'
    if key in state and state[key].shape != module.pos_embed.shape:
        state[key] = resize_stored_positions(key, state[key], module.grid)


def resize_stored_positions(key: str, stored: Tensor, grid: tuple[int, int]) -> Tensor:
    """A checkpoint's positions (1, [1 +] n, C) on the grid (h, w), as (1, 1 + h*w, C); a missing class position is 0.

    Raises:
        ValueError: It is not known which grid they are for.
    """
    patches, positions = grid[0] * grid[1], stored.shape[1]
    side = int((positions - 1) ** 0.5)
    if side * side == positions - 1 or positions == 1 + patches:
        class_position, stored = stored[:, :1], stored[:, 1:]
    elif int(positions**0.5) ** 2 == positions or positions == patches:
        class_position, side = torch.zeros_like(stored[:, :1]), int(positions**0.5)
    else:
        raise ValueError(
            f"'{key}' has {positions} positions, which is not a square grid (with or without a class position). "
            'Convert the checkpoint with tools/model_converters/vit2mm.py --grid H W.'
        )
    source = grid if stored.shape[1] == patches else (side, side)
    if source != grid:
        print_log(f"Resizing '{key}' from a {source} to a {grid} grid (bicubic).", logger='current')
    return torch.cat([class_position, resize_pos_embed(stored, source, grid)], dim=1)
