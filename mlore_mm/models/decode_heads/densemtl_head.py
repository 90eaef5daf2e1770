"""The DenseMTL decoder."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import CrossTaskExchange, SectionDecoder
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet


@MODELS.register_module()
class DenseMTLHead(MultiTaskHead):
    """A decoder per task, interrupted by exchanges between every ordered pair of tasks, supervised at several scales.

    Scale 0, whose features have twice the resolution of the finest level, gives the final logits; the scales of
    ``side_scales`` give auxiliary groups ``scale_<i>``, predicted before the exchange of that scale.
    A subset of the tasks needs the decoders of all tasks down to the last exchange; pairs into other tasks, their
    scales after it and their predictions are not computed.

    Source: DenseMTL (Lopes, Vu and de Charette, WACV 2023). See docs/systems/densemtl.md.
    Differs: see :class:`CrossTaskExchange`. With one task there is no exchange.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the used levels, fine to coarse; with strides 2 to 16, scale 0 has that of the input.
        channels: Widths of the scales 0 to L - 1, one per level.
        exchange: Scale to the stride of its correlation attention, or to a dict with ``stride`` and more options of
            :class:`CrossTaskExchange`.
        side_scales: Scales besides 0 that are supervised.
        dilations: Of the ASPP.
        dropout: Of the ASPP.
        in_index: Levels taken from the backbone.
        init_cfg: As in mmengine.

    Raises:
        ValueError: A scale that there is not, or not one width per level.
    """

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int] = (64, 256, 512, 1024, 2048),
        channels: Sequence[int] = (64, 128, 128, 256, 256),
        exchange: Mapping[int, int | Mapping] | None = None,
        side_scales: Sequence[int] = (1,),
        dilations: Sequence[int] = (6, 12, 18),
        dropout: float = 0.5,
        in_index: Sequence[int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, init_cfg=init_cfg)
        exchange = {1: 4} if exchange is None else {int(scale): options for scale, options in exchange.items()}
        self._check(channels, side_scales, exchange)
        names = list(self.tasks)
        self.channels, self.side_scales = list(channels), sorted(set(side_scales))
        self.auxiliary_groups = tuple(f'scale_{scale}' for scale in self.side_scales)
        self.decoders = nn.ModuleDict(
            {name: SectionDecoder(self.in_channels, channels, dilations, dropout) for name in names}
        )
        self.predict = nn.ModuleDict(
            {
                name: nn.ModuleDict({str(i): nn.Conv2d(channels[i], task.out_channels, 1) for i in self._scales()})
                for name, task in self.tasks.items()
            }
        )
        self.exchanges = nn.ModuleDict()
        for scale in exchange if len(names) > 1 else ():
            options = exchange[scale] if isinstance(exchange[scale], Mapping) else dict(stride=exchange[scale])
            self.exchanges[str(scale)] = self._make_exchange(names, channels[scale], options)

    @staticmethod
    def _make_exchange(names: list[str], channels: int, options: Mapping) -> nn.Module:
        return CrossTaskExchange(names, channels, **options)

    def _scales(self) -> list[int]:
        return [0, *self.side_scales]

    def _check(self, channels: Sequence[int], side_scales: Sequence[int], exchange: Mapping) -> None:
        if len(channels) != len(self.in_channels):
            raise ValueError(
                f'DenseMTLHead needs one width per level, but got channels={list(channels)} for in_channels='
                f'{self.in_channels}.'
            )
        wrong = [i for i in side_scales if not 0 < i < len(channels)] + [i for i in exchange if i >= len(channels)]
        if wrong:
            raise ValueError(
                f'DenseMTLHead has the scales 0 to {len(channels) - 1}, of which all but 0 may be side_scales, but got '
                f'side_scales={list(side_scales)} and exchange={dict(exchange)}.'
            )

    def required_tasks(self, tasks: Sequence[str]) -> list[str]:
        """All tasks, as every task takes from every other one."""
        return list(self.tasks.names)

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels (B, C_l, h_l, w_l) to logits (B, C_t, 2*h_0, 2*w_0) per task."""
        tasks = self.active_tasks(tasks)
        levels = self._levels(feats)
        maps: dict[str, Tensor | None] = dict.fromkeys(levels)
        auxiliary = {}
        for scale in reversed(range(len(self.channels))):
            names = self._needed(scale, tasks)
            maps = {name: self.decoders[name](scale, maps[name], levels[name]) for name in names}
            if scale in self.side_scales and self.wants_auxiliary(f'scale_{scale}'):
                auxiliary[f'scale_{scale}'] = self._predict(scale, maps, tasks)
            if str(scale) in self.exchanges:
                maps = self.exchanges[str(scale)](maps, self._needed(scale - 1, tasks))
        return MultiTaskOutput(self._predict(0, maps, tasks), auxiliary)

    def _levels(self, feats: Features) -> dict[str, list[Tensor]]:
        feats = Features.wrap(feats)
        if feats.is_shared:
            return dict.fromkeys(self.tasks.names, self.select(feats))
        return {name: self.select(feats, name) for name in self.tasks.names}

    def _needed(self, scale: int, tasks: list[str]) -> list[str]:
        """Tasks whose features of this scale are needed: all of them where an exchange is still to come."""
        coming = any(int(other) <= scale for other in self.exchanges)
        return list(self.tasks.names) if coming else tasks

    def _predict(self, scale: int, maps: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
        return {name: self.predict[name][str(scale)](maps[name]) for name in tasks}
