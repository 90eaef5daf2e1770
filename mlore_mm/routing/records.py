"""The record of what routers decided, kept outside the modules.

A balance loss or an analysis tool opens a trace around a forward pass, routers anywhere in the model write to it, and
it ends with the pass. Nothing is stashed on modules, so several passes, activation checkpointing (whose second forward
runs when the trace is closed) and evaluation cannot mix their records up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class RouterRecord:
    """One decision of one router.

    Attributes:
        layer: Which MoE layer, such as 'decode_head/stage0/block0'.
        task: Task that was routed.
        probabilities: (B, N) softmax over the N experts, before selection where selection comes second.
        gates: (B, N) weights after selection; zero for experts that were not chosen.
    """

    layer: str
    task: str
    probabilities: Tensor
    gates: Tensor


@dataclass
class RouterTrace:
    """All records of one pass, in the order in which they were written."""

    records: list[RouterRecord] = field(default_factory=list)

    def by_layer(self) -> dict[str, list[RouterRecord]]:
        """Layer to its records, layers in the order of their first record."""
        layers: dict[str, list[RouterRecord]] = {}
        for record in self.records:
            layers.setdefault(record.layer, []).append(record)
        return layers


_OPEN: list[RouterTrace] = []


@contextmanager
def trace_routing() -> Iterator[RouterTrace]:
    """Open a trace; routers that run inside write to it (to the innermost one where traces are nested)."""
    trace = RouterTrace()
    _OPEN.append(trace)
    try:
        yield trace
    finally:
        _OPEN.pop()


def record_routing(layer: str, task: str, probabilities: Tensor, gates: Tensor) -> None:
    """Write to the open trace, or do nothing where none is open."""
    if _OPEN:
        _OPEN[-1].records.append(RouterRecord(layer, task, probabilities, gates))
