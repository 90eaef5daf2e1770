"""The PAD-Net+ decoder."""

from collections.abc import Mapping, Sequence

from torch import nn

from mlore_mm.models.decode_heads.densemtl_head import DenseMTLHead
from mlore_mm.models.layers import Distillation
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet


@MODELS.register_module()
class PADNetPlusHead(DenseMTLHead):
    """DenseMTL's decoders with PAD-Net's gated messages between the tasks instead of its exchange block.

    Source: the baseline of this name in DenseMTL (Lopes et al., WACV 2023).

    Args:
        tasks: As in :class:`DenseMTLHead`, as are all that are not named here.
        exchange: Scales after which the tasks exchange messages.
        side_scales: Scales besides 0 that are supervised; published without a config.
    """

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        *args,
        exchange: Sequence[int] = (2,),
        side_scales: Sequence[int] = (2,),
        **kwargs,
    ) -> None:
        options = {scale: {} for scale in exchange}
        super().__init__(tasks, *args, exchange=options, side_scales=side_scales, **kwargs)

    @staticmethod
    def _make_exchange(names: list[str], channels: int, options: Mapping) -> nn.Module:
        return Distillation(names, names, channels, **options)
