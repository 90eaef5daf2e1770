"""The InvPT decoder."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import InvPTStage, PyramidSum, TaskModules
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet

START_STRIDE = 32
STAGES = 3
INTERMEDIATE = 'intermediate'  # the group of predictions made before the tasks meet


@MODELS.register_module()
class InvPTHead(MultiTaskHead):
    """Inverted pyramid transformer: all tasks attend to each other at strides 32, 16 and 8.

    Each task makes an intermediate prediction at stride 32 (auxiliary group 'intermediate'), which is fed on together
    with its features. Three stages follow, the later two at twice the size of the one before, with a level of the
    encoder added and with messages from the attention before. Their sum at stride 4 gives the logits.
    Source: InvPT (Ye and Xu, ECCV 2022).
    Differs: parts that the published code creates and never uses do not exist, nor is the third of its four encoder
    levels needed.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of three levels of the encoder: for the last stage, for the second stage, and the one that
            the decoder begins with.
        embed_dims: Width of the intermediate features.
        extra_dims: D_0 is ``embed_dims + extra_dims``, and D_1 and D_2 are a half and a quarter of it.
        num_heads: Heads of the attention; two as published.
        mlp_ratio: Of the transformer blocks.
        strides: Strides of the three levels. A plain ViT has 16 everywhere; a pyramid offers 8, 16, 32.
        attn_scale: 'width' as published, or 'head', the usual one; see :class:`CrossTaskAttention`.
        drop_path_rate: Stochastic depth in the three blocks; 0 as the published code has it in effect.
        in_index: Levels taken from the backbone.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Strides that the stages cannot use.
    """

    auxiliary_groups = (INTERMEDIATE,)

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int],
        embed_dims: int = 512,
        extra_dims: int = 64,
        num_heads: int = 2,
        mlp_ratio: int = 4,
        strides: Sequence[int] = (16, 16, 16),
        attn_scale: str = 'width',
        drop_path_rate: float = 0.0,
        in_index: Sequence[int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, init_cfg=init_cfg)
        if len(self.in_channels) != STAGES or len(strides) != STAGES:
            raise ValueError(
                f'InvPTHead uses three levels of the encoder, but got in_channels={self.in_channels} and '
                f'strides={list(strides)}.'
            )
        if strides[2] > START_STRIDE or START_STRIDE % strides[2]:
            raise ValueError(f'InvPTHead begins at stride {START_STRIDE}, which a level of stride {strides[2]} is not.')
        self.top_stride = strides[2]
        channels = {name: task.out_channels for name, task in self.tasks.items()}
        names, width, top = list(channels), embed_dims + extra_dims, self.in_channels[2]
        dims = [width // 2**s for s in range(STAGES)]

        self.preliminary = TaskModules(
            names, lambda: nn.Sequential(_conv_bn_relu(top, top), _conv_bn_relu(top, embed_dims))
        )
        self.intermediate = nn.ModuleDict({name: nn.Conv2d(embed_dims, c, 1) for name, c in channels.items()})
        self.mix = nn.ModuleDict({name: nn.Conv2d(embed_dims + c, width, 1) for name, c in channels.items()})
        self.skips = nn.ModuleList(
            _skip(self.in_channels[2 - s], dims[s], strides[2 - s], START_STRIDE // 2**s) for s in range(1, STAGES)
        )
        self.stages = nn.ModuleList(
            InvPTStage(
                names,
                dims[s - 1] if s else None,
                dims[s],
                num_heads,
                pool=2 ** (s + 1),
                mlp_ratio=mlp_ratio,
                attn_scale=attn_scale,
                drop_path_rate=drop_path_rate,
            )
            for s in range(STAGES)
        )
        self.fusion = PyramidSum(channels, dims)

    def required_tasks(self, tasks: Sequence[str]) -> list[str]:
        """All tasks, since each attends to each."""
        return list(self.tasks.names)

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels (B, C_l, h_l, w_l) to logits (B, C_t, H / 4, W / 4) for images (H, W), multiples of 64."""
        tasks = self.active_tasks(tasks)
        fine, middle, top = self.select(feats)
        tokens, intermediate = self._begin(top)
        skips = (None, self.skips[0](middle), self.skips[1](fine))
        scores, outputs = None, []
        for stage, skip in zip(self.stages, skips, strict=True):
            tokens, scores = stage(tokens, skip, scores)
            outputs.append(tokens)
        auxiliary = {INTERMEDIATE: {task: intermediate[task] for task in tasks}}
        return MultiTaskOutput(
            logits=self.fusion(outputs, tasks),
            auxiliary=auxiliary if self.wants_auxiliary(INTERMEDIATE) else {},
        )

    def _begin(self, top: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Tokens (T, B, h_0, w_0, D_0) of all tasks, and their intermediate predictions (B, C_t, h_0, w_0)."""
        start = F.interpolate(top, size=self._start_grid(top), mode='bilinear', align_corners=False)
        maps, predictions = [], {}
        for task in self.tasks.names:
            features = self.preliminary[task](start)
            predictions[task] = self.intermediate[task](features)
            maps.append(self.mix[task](torch.cat([features, predictions[task]], dim=1)))
        return torch.stack([x.permute(0, 2, 3, 1) for x in maps]).contiguous(), predictions

    def _start_grid(self, top: Tensor) -> tuple[int, int]:
        factor, (h, w) = START_STRIDE // self.top_stride, top.shape[-2:]
        divisor = 2 * START_STRIDE
        if h % (2 * factor) or w % (2 * factor):
            raise ValueError(
                f'InvPTHead got a level of {h}x{w} at stride {self.top_stride}: sides have to be multiples of '
                f'{2 * factor}, that is, of {divisor} pixels of the image. Set size_divisor={divisor} in the data '
                'preprocessor, and crop sizes to multiples of it.'
            )
        return h // factor, w // factor


def _conv_bn_relu(in_channels: int, out_channels: int) -> ConvModule:
    return ConvModule(in_channels, out_channels, 3, padding=1, norm_cfg=dict(type='BN'))


def _skip(in_channels: int, out_channels: int, stride: int, wanted: int) -> nn.Module:
    """A 3x3 convolution that brings a level of a stride to the wanted one, equal or half of it."""
    if stride == wanted:
        return nn.Conv2d(in_channels, out_channels, 3, padding=1)
    if stride == 2 * wanted:
        return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
    raise ValueError(
        f'InvPTHead needs a level of stride {wanted} or {2 * wanted} where `strides` says {stride}: levels are '
        'for the last stage (stride 8 or 16), for the second stage (16 or 32), and for the beginning (up to 32).'
    )
