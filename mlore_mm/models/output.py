"""What a multi-task head returns."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor


@dataclass
class MultiTaskOutput:
    """Logits of one forward pass; the criterion and the decoding read it, whatever head wrote it.

    Args:
        logits: Final logits (B, C, H, W) by task, in the order of the task set. H and W may be smaller than the input.
        auxiliary: Groups of further logits that are supervised and never evaluated, such as initial predictions or
            predictions at another scale: group name to logits by task. Empty outside training.
        extras: Anything else a tool may want to see, such as fusion maps.
    """

    logits: dict[str, Tensor]
    auxiliary: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)

    def restricted_to(self, tasks: Collection[str]) -> 'MultiTaskOutput':
        """Without the auxiliary logits of other tasks, so that losses of single tasks add up to the joint loss."""
        groups = {
            group: {name: x for name, x in logits.items() if name in tasks} for group, logits in self.auxiliary.items()
        }
        return replace(self, auxiliary={group: logits for group, logits in groups.items() if logits})

    def group(self, name: str) -> dict[str, Tensor]:
        """The logits of one auxiliary group.

        Raises:
            ValueError: The head has no such group.
        """
        if name not in self.auxiliary:
            raise ValueError(
                f"A metric asks for the output '{name}', but the auxiliary groups of this decoder are "
                f'{list(self.auxiliary)}. Check `output` of the metrics.'
            )
        return self.auxiliary[name]
