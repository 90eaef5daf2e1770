"""The record of what routers decided, kept outside the modules.

A balance loss or an analysis tool opens a trace around a forward pass, routers anywhere in the model write to it, and
it ends with the pass. Nothing is stashed on modules, so several passes, activation checkpointing (whose second forward
runs when the trace is closed) and evaluation cannot mix their records up.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

SHARED = '*'  # the task of a router that decides once for all tasks


@dataclass(frozen=True)
class RouterRecord:
    """One decision of one router for one task: per image, with tensors (B, N), or per token, with (B, L, N).

    Losses and tools that do not care for the difference read the ``flat_`` properties, whose rows are images or tokens:
    here is the only place where these axes are flattened.

    Attributes:
        layer: Which MoE layer, such as 'decode_head/stage0/block0'.
        task: Task that was routed; '*' where all tasks share the decision.
        probabilities: Softmax over the N experts, before selection where selection comes second.
        gates: Weights after selection; zero for experts that were not chosen.
        logits: What the router computed, before noise; None where it is not known.
        noise_std: Deviation of the noise, a number or a tensor like the logits; None without noise.
        noisy_logits: What the experts were chosen by; None without noise.
        experts: Ids of the k chosen experts, (B, k) or (B, L, k), the best first; None where they are not known.
    """

    layer: str
    task: str
    probabilities: Tensor
    gates: Tensor
    logits: Tensor | None = None
    noise_std: Tensor | float | None = None
    noisy_logits: Tensor | None = None
    experts: Tensor | None = None

    @property
    def images(self) -> int:
        """B."""
        return self.gates.shape[0]

    @property
    def per_token(self) -> bool:
        """Whether every token is routed for itself, and not the image as a whole."""
        return self.gates.dim() > 2

    @property
    def flat_gates(self) -> Tensor:
        """(R, N), where R is B, or B * L per token."""
        return _rows(self.gates)

    @property
    def flat_probabilities(self) -> Tensor:
        """(R, N)."""
        return _rows(self.probabilities)

    @property
    def flat_logits(self) -> Tensor | None:
        """(R, N)."""
        return None if self.logits is None else _rows(self.logits)

    @property
    def flat_noisy_logits(self) -> Tensor | None:
        """(R, N), the logits themselves where there was no noise."""
        return self.flat_logits if self.noisy_logits is None else _rows(self.noisy_logits)

    @property
    def flat_noise_std(self) -> Tensor | None:
        """(R, N)."""
        if self.noise_std is None:
            return None
        std = torch.as_tensor(self.noise_std, dtype=self.gates.dtype, device=self.gates.device)
        return _rows(std.expand_as(self.gates))

    @property
    def flat_experts(self) -> Tensor | None:
        """(R, k)."""
        return None if self.experts is None else _rows(self.experts)


def _rows(x: Tensor) -> Tensor:
    return x.flatten(0, -2)


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


def check_records(trace: RouterTrace | None, loss: str) -> None:
    """
    Raises:
        ValueError: There is no trace, or no router wrote into it, so the loss of that name is made of nothing.
    """
    if trace is None or not trace.records:
        raise ValueError(
            f'{loss} found no router record: nothing in the model routes, or the forward pass ran outside a router '
            'trace. Remove it from `auxiliary_losses`, or use a backbone or head with routers.'
        )


_OPEN: list[RouterTrace] = []
_TASKS: list[tuple[str, ...]] = []


@contextmanager
def trace_routing() -> Iterator[RouterTrace]:
    """Open a trace; routers that run inside write to it (to the innermost one where traces are nested)."""
    trace = RouterTrace()
    _OPEN.append(trace)
    try:
        yield trace
    finally:
        _OPEN.pop()


@contextmanager
def task_context(names: Sequence[str]) -> Iterator[None]:
    """Tell the routers of an encoder for which tasks it runs; the segmentor does, around each of its calls.

    Args:
        names: The task of the call, or several for a folded call, whose tensors have a leading axis over them.
    """
    _TASKS.append((names,) if isinstance(names, str) else tuple(names))
    try:
        yield
    finally:
        _TASKS.pop()


def record_routing(
    layer: str,
    task: str | None = None,
    probabilities: Tensor | None = None,
    gates: Tensor | None = None,
    logits: Tensor | None = None,
    noise_std: Tensor | float | None = None,
    noisy_logits: Tensor | None = None,
    experts: Tensor | None = None,
) -> None:
    """Write to the open trace, or do nothing where none is open.

    Args:
        layer: See :class:`RouterRecord`, like the other arguments.
        task: None takes the names from :func:`task_context`. Several of them give a record each, and the tensors are
            then (T, B, N) or (T, B, L, N). Outside of such a context the task is '*', shared by all.
        probabilities: Needed.
        gates: Needed.
        logits: Optional, as are the following.
        noise_std: A number or a tensor.
        noisy_logits: A tensor.
        experts: Ids.

    Raises:
        ValueError: The leading axis does not fit the context's tasks.
    """
    if not _OPEN:
        return
    names = (task,) if task is not None else _TASKS[-1] if _TASKS else (SHARED,)
    record = RouterRecord(layer, names[0], probabilities, gates, logits, noise_std, noisy_logits, experts)
    # With a single task the axis is there only where a folded call has it: (1, B, L, N).
    folded = len(names) > 1 or (task is None and gates.dim() > 3)
    _OPEN[-1].records.extend(_split(record, names) if folded else [record])


def _split(record: RouterRecord, names: Sequence[str]) -> list[RouterRecord]:
    """One record per task of tensors whose leading axis is the tasks."""
    if record.gates.dim() < 3 or len(record.gates) != len(names):
        raise ValueError(
            f"The layer '{record.layer}' recorded gates of shape {tuple(record.gates.shape)} in a call for the tasks "
            f'{list(names)}: a call for {len(names)} tasks has a leading axis of that length. Pass `task`, or open '
            '`task_context` for a single task.'
        )
    tensors = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ('layer', 'task')}
    return [
        replace(
            record, task=name, **{key: x[i] if isinstance(x, Tensor) and x.dim() else x for key, x in tensors.items()}
        )
        for i, name in enumerate(names)
    ]
