"""What a published MLoRE checkpoint says about its model, and which config of ours describes that model."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config
from torch import Tensor

from mlore_mm.utils.unwrap import bare_name

# Pixel weights and position embedding store h*w only; these are the grids of the published input sizes.
PUBLISHED_GRIDS = {1024: (32, 32), 1008: (28, 36)}
_EXPERT = re.compile(r'backbone\.MLoRE_1\.0\.lora_list_1\.(\d+)\.W\.weight')
_HEAD = re.compile(r'heads\.(\w+)\.linear_pred\.weight')


@dataclass(frozen=True)
class MLoRELayout:
    """Everything that can be read off the weights.

    Not in the weights, and therefore the config's to say: ``top_k``, ``pre_softmax``, the number of attention heads,
    the blocks whose output is decoded, and every loss weight.

    Args:
        encoder_dims: Width of the encoder.
        encoder_depth: Number of its blocks.
        patch_size: Pixels per token side.
        tasks: Output channels by task name, in the order of the checkpoint.
        embed_dims: D.
        ranks: Rank of each shared expert, in their order.
        task_rank: Rank of the task-specific experts.
        stages: Number of decoder stages.
        grid: (h, w) of the feature map.
    """

    encoder_dims: int
    encoder_depth: int
    patch_size: int
    tasks: dict[str, int]
    embed_dims: int
    ranks: tuple[int, ...]
    task_rank: int
    stages: int
    grid: tuple[int, int]

    def to_meta(self) -> dict:
        """Plain values, which ``torch.load(weights_only=True)`` reads."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def describe(self) -> str:
        h, w = self.grid
        return (
            f'encoder: {self.encoder_depth} blocks of width {self.encoder_dims}, input {h * self.patch_size} x '
            f'{w * self.patch_size} (grid {h} x {w})\n'
            f'decoder: D={self.embed_dims}, {self.stages} stages, {len(self.ranks)} experts of ranks '
            f'{list(self.ranks)}, task rank {self.task_rank}\n'
            f'tasks: {", ".join(f"{name} ({channels})" for name, channels in self.tasks.items())}'
        )


def read_layout(
    state: Mapping[str, Tensor], grid: Sequence[int] | None = None, config: Config | None = None
) -> MLoRELayout:
    """Read the layout off a state dict in the published key layout.

    Args:
        state: Tensors by published key, with or without ``module.``.
        grid: (h, w), where the number of positions does not tell.
        config: A bound config, whose grid is used where it fits.

    Raises:
        ValueError: Parts are missing, or the grid is not known or does not fit the number of positions.
    """
    shapes = {bare_name(key): tuple(tensor.shape) for key, tensor in state.items()}
    tasks = {m[1]: shape[0] for key, shape in shapes.items() if (m := _HEAD.fullmatch(key))}
    ranks = {int(m[1]): shape[0] for key, shape in shapes.items() if (m := _EXPERT.fullmatch(key))}
    if not tasks or not ranks or 'backbone.pos_embed' not in shapes:
        raise ValueError(
            'This is not a published MLoRE checkpoint: it lacks heads.*.linear_pred, backbone.MLoRE_1.0.lora_list_1 or '
            f'backbone.pos_embed. Its first keys are {list(state)[:5]}.'
        )
    task = next(iter(tasks))
    positions = shapes['backbone.pos_embed'][1] - 1
    pixels = shapes[f'backbone.MLoRE_1.0.router_1.{task}.0.convsp.weight'][1]
    if positions != pixels:
        raise ValueError(
            f'The position embedding has {positions} patches, the router {pixels} pixel weights: no one input size '
            'fits both, so this is not a checkpoint of the published code.'
        )
    embed = shapes['backbone.patch_embed.proj.weight']
    return MLoRELayout(
        encoder_dims=embed[0],
        encoder_depth=_count(shapes, r'backbone\.blocks\.(\d+)\.norm1\.weight'),
        patch_size=embed[2],
        tasks=tasks,
        embed_dims=shapes['backbone.fea_fuse.0.weight'][0],
        ranks=tuple(ranks[i] for i in sorted(ranks)),
        task_rank=shapes[f'backbone.MLoRE_1.0.conv2.{task}.W.weight'][0],
        stages=_count(shapes, r'backbone\.fea_fuse\.(\d+)\.weight'),
        grid=_resolve_grid(pixels, grid, config),
    )


def _count(keys: Iterable[str], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in keys)


def _resolve_grid(pixels: int, grid: Sequence[int] | None, config: Config | None) -> tuple[int, int]:
    if grid is not None:
        if math.prod(grid) != pixels:
            raise ValueError(f'--grid {grid[0]} {grid[1]} does not fit: the checkpoint has {pixels} positions.')
        return tuple(grid)
    configured = _head(config).get('grid') if config else None
    if configured and math.prod(configured) == pixels:
        return tuple(configured)
    side = math.isqrt(pixels)
    if pixels not in PUBLISHED_GRIDS and side * side != pixels:
        raise ValueError(
            f'{pixels} positions are not a square grid: say which one with --grid H W, or give the config.'
        )
    return PUBLISHED_GRIDS.get(pixels, (side, side))


def _model(config: Config) -> Mapping:
    model = config.get('model') or {}
    return model.get('module') or model


def _head(config: Config) -> Mapping:
    return _model(config).get('decode_head') or {}


def differences(layout: MLoRELayout, config: Config) -> list[str]:
    """A line for every setting of a bound config that disagrees with the checkpoint; empty where it fits."""
    # Here and not above: a converter that is only asked for a layout needs no models.
    from mlore_mm.models.backbones.vit import ARCHITECTURES, PlainViT
    from mlore_mm.models.decode_heads import MLoREDecodeHead
    from mlore_mm.registry import class_of
    from mlore_mm.tasks import TaskSet

    model, head = _model(config), _head(config)
    backbone = model.get('backbone') or {}
    if class_of(backbone) is not PlainViT or class_of(head) is not MLoREDecodeHead:
        return [f'model: PlainViT and MLoREDecodeHead are needed, not {backbone.get("type")} and {head.get("type")}']
    arch = backbone.get('arch', 'base')
    dims, depth = ARCHITECTURES[arch][:2] if isinstance(arch, str) else (arch['embed_dims'], arch['num_layers'])
    patch = backbone.get('patch_size', 16)
    size = backbone.get('img_size', (512, 512))
    size = (size, size) if isinstance(size, int) else tuple(size)
    tasks = {name: task.out_channels for name, task in TaskSet(model['tasks']).items()}
    pairs = {
        'encoder width (model.backbone.arch)': (layout.encoder_dims, dims),
        'encoder depth (model.backbone.arch)': (layout.encoder_depth, depth),
        'model.backbone.patch_size': (layout.patch_size, patch),
        'grid (model.backbone.img_size / patch_size)': (layout.grid, (size[0] // patch, size[1] // patch)),
        'model.decode_head.grid': (layout.grid, tuple(head['grid'])),
        'model.decode_head.embed_dims': (layout.embed_dims, head['embed_dims']),
        'model.decode_head.ranks': (list(layout.ranks), list(head['ranks'])),
        'model.decode_head.task_rank': (layout.task_rank, head['task_rank']),
        'stages (model.decode_head.in_channels)': ([layout.encoder_dims] * layout.stages, list(head['in_channels'])),
        'tasks, their order and channels': (list(layout.tasks.items()), list(tasks.items())),
    }
    return [f'{name}: checkpoint {ours}, config {theirs}' for name, (ours, theirs) in pairs.items() if ours != theirs]


def fitting_configs(layout: MLoRELayout, folder: Path) -> list[Path]:
    """The configs below ``folder`` that describe the checkpoint; of several that train one model, the first."""
    from mlore_mm.tasks import bind_tasks
    from mlore_mm.utils.config_variables import resolve_variables

    fitting, models = [], []
    for path in sorted(folder.glob('*.py')):
        config = Config.fromfile(path)
        resolve_variables(config)
        model = config.model.to_dict()  # bind_tasks writes into the config
        if 'tasks' in config and model not in models and not differences(layout, bind_tasks(config)):
            fitting.append(path)
            models.append(model)
    return fitting
