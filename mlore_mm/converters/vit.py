"""ViT weights in timm's and in Google's (AugReg) layout to the layouts of mmseg and mmpretrain.

Our ``PlainViT`` has mmseg's layout.
"""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mlore_mm.converters.naming import naming
from mlore_mm.engine.checkpoints import read_checkpoint
from mlore_mm.engine.checkpoints.weights import check_values

# timm's key and ours; {i} is the block, {p} is weight or bias. The packed qkv is the same matrix in all three layouts:
# rows of queries, then keys, then values, heads side by side.
_SHARED = {
    'cls_token': 'cls_token',
    'pos_embed': 'pos_embed',
    'patch_embed.proj.{p}': 'patch_embed.projection.{p}',
    'blocks.{i}.norm1.{p}': 'layers.{i}.ln1.{p}',
    'blocks.{i}.norm2.{p}': 'layers.{i}.ln2.{p}',
    'blocks.{i}.mlp.fc1.{p}': 'layers.{i}.ffn.layers.0.0.{p}',
    'blocks.{i}.mlp.fc2.{p}': 'layers.{i}.ffn.layers.1.{p}',
    'norm.{p}': 'ln1.{p}',
}
LAYOUTS = {
    'mmseg': {
        **_SHARED,
        'blocks.{i}.attn.qkv.{p}': 'layers.{i}.attn.attn.in_proj_{p}',
        'blocks.{i}.attn.proj.{p}': 'layers.{i}.attn.attn.out_proj.{p}',
    },
    'mmpretrain': {
        **_SHARED,
        'blocks.{i}.attn.qkv.{p}': 'layers.{i}.attn.qkv.{p}',
        'blocks.{i}.attn.proj.{p}': 'layers.{i}.attn.proj.{p}',
    },
}
_CLASSIFIER = re.compile(r'(head|head_dist|fc_norm|pre_logits)\..*')
CLASS_POSITIONS = ('keep', 'add', 'drop')


def read_vit(path: str | Path) -> dict[str, Tensor]:
    """A weight file as a state dict in timm's layout: ``.npz``, ``.safetensors``, or anything ``torch.save`` wrote.

    Raises:
        ValueError: The file cannot be read without running code, holds no ViT, or numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'There is no weight file {path}.')
    if path.suffix == '.npz':
        with naming(path):
            state = augreg_to_timm(_read_arrays(path))
    else:
        state = read_checkpoint(path)['state_dict']
    check_values({}, state, str(path))
    return state


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(f'{path} cannot be read as an archive of arrays: {error}.') from error


def augreg_to_timm(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Google's ViT arrays to timm's layout.

    There kernels are (inputs, outputs) and convolutions (height, width, inputs, outputs); attention keeps queries, keys
    and values apart, with an axis for the heads.
    Source: AugReg (Steiner et al., 2021).

    Raises:
        ValueError: The arrays of a ViT are missing.
    """
    if 'embedding/kernel' not in arrays:
        raise ValueError(f"This .npz holds no AugReg ViT: no array 'embedding/kernel', but {sorted(arrays)[:5]}.")
    w = {key: torch.from_numpy(np.asarray(value, dtype=np.float32)) for key, value in arrays.items()}
    state = {
        'cls_token': w['cls'],
        'pos_embed': w['Transformer/posembed_input/pos_embedding'],
        'patch_embed.proj.weight': w['embedding/kernel'].permute(3, 2, 0, 1).contiguous(),
        'patch_embed.proj.bias': w['embedding/bias'],
        'norm.weight': w['Transformer/encoder_norm/scale'],
        'norm.bias': w['Transformer/encoder_norm/bias'],
    }
    blocks = sorted({int(m[1]) for key in w if (m := re.match(r'Transformer/encoderblock_(\d+)/', key))})
    for i in blocks:
        state.update({f'blocks.{i}.{key}': x for key, x in _augreg_block(w, f'Transformer/encoderblock_{i}/').items()})
    return state


def _augreg_block(w: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    attention = f'{prefix}MultiHeadDotProductAttention_1/'
    block = {
        'attn.qkv.weight': torch.cat([w[f'{attention}{x}/kernel'].flatten(1).t() for x in ('query', 'key', 'value')]),
        'attn.qkv.bias': torch.cat([w[f'{attention}{x}/bias'].flatten() for x in ('query', 'key', 'value')]),
        'attn.proj.weight': w[f'{attention}out/kernel'].flatten(0, 1).t().contiguous(),
        'attn.proj.bias': w[f'{attention}out/bias'],
    }
    for timm, google in (('norm1', 'LayerNorm_0'), ('norm2', 'LayerNorm_2')):
        block[f'{timm}.weight'], block[f'{timm}.bias'] = w[f'{prefix}{google}/scale'], w[f'{prefix}{google}/bias']
    for timm, google in (('mlp.fc1', 'MlpBlock_3/Dense_0'), ('mlp.fc2', 'MlpBlock_3/Dense_1')):
        block[f'{timm}.weight'] = w[f'{prefix}{google}/kernel'].t().contiguous()
        block[f'{timm}.bias'] = w[f'{prefix}{google}/bias']
    return block


def timm_to_mm(
    state: Mapping[str, Tensor],
    layout: str = 'mmseg',
    grid: Sequence[int] | None = None,
    source_grid: Sequence[int] | None = None,
    class_position: str | None = None,
) -> tuple[dict[str, Tensor], list[str]]:
    """timm's layout to the one of ``layout``.

    Args:
        state: A ViT's state dict in timm's layout.
        layout: 'mmseg' (and our ``PlainViT``) or 'mmpretrain'.
        grid: (h, w) to resize the position embedding to, bicubically; unchanged by default.
        source_grid: (h, w) of the stored position embedding, where it is not square.
        class_position: 'keep' what is there; 'add' a zero where it is missing, as mmseg's ViT always has one; 'drop' it
            and the class token, for mmpretrain's ViT with ``with_cls_token=False``. By default 'add' for mmseg and
            'keep' for mmpretrain.

    Returns:
        The converted state dict, and the keys left out, which belong to the classifier.

    Raises:
        ValueError: Unknown keys, tensors missing or of another shape than in the other blocks, or a position embedding
            that fits no grid.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'layout is one of {list(LAYOUTS)}, but got {layout!r}.')
    class_position = class_position or dict(mmseg='add', mmpretrain='keep')[layout]
    table = [(_as_pattern(key), new) for key, new in LAYOUTS[layout].items()]
    converted, left_out, unknown = {}, [], []
    for key, value in state.items():
        matched = next(((m, new) for pattern, new in table if (m := pattern.fullmatch(key))), None)
        if matched:
            converted[matched[1].format(**matched[0].groupdict())] = value
        elif _CLASSIFIER.fullmatch(key) or key == 'dist_token':
            left_out.append(key)
        else:
            unknown.append(key)
    if unknown or not {'pos_embed', 'patch_embed.projection.weight'} <= set(converted):
        raise ValueError(
            f"This is not a plain ViT in timm's layout: {len(unknown)} unknown keys, such as {unknown[:5]}. Variants "
            'with other layers (LayerScale, registers, relative positions) have no counterpart.'
        )
    _check_whole(converted)
    converted['pos_embed'] = _convert_positions(
        converted['pos_embed'], 'dist_token' in state, grid, source_grid, class_position
    )
    if class_position == 'drop':
        converted.pop('cls_token', None)
    return converted, left_out


def _check_whole(state: Mapping[str, Tensor]) -> None:
    """All blocks have the same tensors in the same shapes, and what stands outside of them is there."""
    blocks: dict[int, dict[str, tuple]] = {}
    for key, value in state.items():
        if m := re.fullmatch(r'layers\.(\d+)\.(.+)', key):
            blocks.setdefault(int(m[1]), {})[m[2]] = tuple(value.shape)
    usual = {
        key: statistics.mode(block[key] for block in blocks.values() if key in block)
        for key in sorted({key for block in blocks.values() for key in block})
    }
    for i, key in ((i, key) for i in range(max(blocks, default=-1) + 1) for key in usual):
        found = blocks.get(i, {}).get(key)
        if found != usual[key]:
            raise ValueError(f'{key} of block {i} is {found or "missing"}, where other blocks have {usual[key]}.')
    _check_outside(state)


def _check_outside(state: Mapping[str, Tensor]) -> None:
    width = (state['patch_embed.projection.weight'].shape[0],)
    needed = ['patch_embed.projection.bias']
    if {'ln1.weight', 'ln1.bias'} & set(state):  # timm's models that take the mean of tokens have neither
        needed += ['ln1.weight', 'ln1.bias']
    for key in needed:
        found = tuple(state[key].shape) if key in state else None
        if found != width:
            raise ValueError(f'{key} is {found or "missing"}, where {width} is expected.')


def _as_pattern(key: str) -> re.Pattern:
    pattern = re.escape(key).replace(r'\{i\}', r'(?P<i>\d+)').replace(r'\{p\}', '(?P<p>weight|bias)')
    return re.compile(pattern)


def _convert_positions(
    stored: Tensor, distilled: bool, grid: Sequence[int] | None, source_grid: Sequence[int] | None, class_position: str
) -> Tensor:
    """(1, [1 or 2 +] h*w, C) positions on another grid, with or without the class's."""
    extra, source = _split_positions(stored.shape[1], distilled, source_grid)
    first, patches = stored[:, : min(extra, 1)], stored[:, extra:]
    if grid is not None and tuple(grid) != source:
        maps = patches.float().transpose(1, 2).unflatten(2, source)
        maps = F.interpolate(maps, size=tuple(grid), mode='bicubic', align_corners=False)
        patches = maps.flatten(2).transpose(1, 2).to(stored.dtype)
    if class_position == 'drop':
        first = first[:, :0]
    elif class_position == 'add' and not extra:
        first = torch.zeros_like(patches[:, :1])
    return torch.cat([first, patches], dim=1)


def _split_positions(count: int, distilled: bool, grid: Sequence[int] | None) -> tuple[int, tuple[int, int]]:
    """Number of positions of tokens (2 with a distillation token, else 1 or 0), and the grid of the patches."""
    for extra in (2,) if distilled else (1, 0):
        patches = count - extra
        shape = tuple(grid) if grid else (math.isqrt(patches),) * 2
        if shape[0] * shape[1] == patches:
            return extra, shape
    found = f'{grid[0]} x {grid[1]} = {grid[0] * grid[1]} patches' if grid else 'a square grid'
    raise ValueError(
        f'The {count} positions of pos_embed do not fit {found}, with or without a class position. Say which grid they '
        'are for with --source-grid H W.'
    )
