"""What routers decided, summed up over many images."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerRouting:
    """How one MoE layer uses its N experts for T tasks; all are means over what is routed: images, or their tokens.

    Args:
        tasks: The T names.
        images: Number of images.
        decisions: Number of routed images or tokens, per task.
        mean_gate: (T, N) gate after selection.
        selection: (T, N) share of the images (tokens) for which the expert was chosen.
        spread: (T) deviation of a gate from image to image (token to token), mean over the experts: 0 where routing
            ignores the image.
        entropy: (T) entropy in nats of the gates, brought to a sum of 1; exp of it is a number of experts.
        similarity: (T, T) share of experts that two tasks have in common for an image (token): chosen by both over
            chosen by either (Jaccard).
    """

    tasks: tuple[str, ...]
    images: int
    decisions: int
    mean_gate: np.ndarray
    selection: np.ndarray
    spread: np.ndarray
    entropy: np.ndarray
    similarity: np.ndarray

    @property
    def per_token(self) -> bool:
        """Whether tokens are routed, and not images."""
        return self.decisions != self.images

    @property
    def counted(self) -> str:
        """What the means are over, in words."""
        return f'{self.images} images' + (f' of {self.decisions // self.images} tokens' if self.per_token else '')

    @property
    def load(self) -> np.ndarray:
        """(N) mean gate over the tasks: how busy each expert is."""
        return self.mean_gate.mean(axis=0)

    @property
    def load_variation(self) -> float:
        """(std / mean)^2 of the load, unbiased: 0 where all experts are equally busy."""
        load = self.load
        return float(load.var(ddof=1) / load.mean() ** 2) if len(load) > 1 and load.mean() > 0 else 0.0

    @property
    def unused(self) -> list[int]:
        """Experts that no task chose for any image or token."""
        return np.flatnonzero(self.selection.max(axis=0) == 0).tolist()

    @property
    def mean_similarity(self) -> float:
        """Mean similarity of two different tasks; 1 for a single task."""
        count = len(self.tasks)
        return float((self.similarity.sum() - count) / (count * (count - 1))) if count > 1 else 1.0

    def to_dict(self) -> dict:
        """Plain numbers for JSON."""
        arrays = dict(
            mean_gate=self.mean_gate,
            selection=self.selection,
            load=self.load,
            spread=self.spread,
            entropy=self.entropy,
            similarity=self.similarity,
        )
        return dict(
            tasks=list(self.tasks),
            experts=self.mean_gate.shape[1],
            images=self.images,
            decisions=self.decisions,
            **{name: np.round(array, 6).tolist() for name, array in arrays.items()},
            load_variation=round(self.load_variation, 6),
            mean_similarity=round(self.mean_similarity, 6),
            unused=self.unused,
        )


class RoutingStats:
    """Adds up the records of router traces, layer by layer."""

    def __init__(self) -> None:
        self._layers: dict[str, _Sums] = {}

    def update(self, trace) -> None:
        """Add a ``RouterTrace`` of one forward pass.

        Raises:
            ValueError: No router wrote into it, or a layer routed other tasks than before.
        """
        if not trace.records:
            raise ValueError('No router wrote into the trace: nothing in this model routes.')
        for layer, records in trace.by_layer().items():
            gates: dict[str, list[Tensor]] = {}
            for record in records:
                gates.setdefault(record.task, []).append(record.flat_gates.detach().double().cpu())
            images = sum(record.images for record in records) // len(gates)
            stacked = torch.stack([torch.cat(parts) for parts in gates.values()])
            if layer not in self._layers:
                self._layers[layer] = _Sums(tuple(gates), stacked.shape[-1])
            self._layers[layer].add(tuple(gates), stacked, images)

    def layers(self) -> dict[str, LayerRouting]:
        """Layer name to its routing so far."""
        return {name: sums.result() for name, sums in self._layers.items()}


class _Sums:
    def __init__(self, tasks: tuple[str, ...], experts: int) -> None:
        count = len(tasks)
        self.tasks, self.images, self.decisions = tasks, 0, 0
        self.gate, self.square, self.chosen = (torch.zeros(count, experts, dtype=torch.float64) for _ in range(3))
        self.entropy = torch.zeros(count, dtype=torch.float64)
        self.common = torch.zeros(count, count, dtype=torch.float64)

    def add(self, tasks: tuple[str, ...], gates: Tensor, images: int) -> None:
        """``gates`` is (T, R, N), float64, with a row per image or token."""
        if tasks != self.tasks:
            raise ValueError(f'A layer routed the tasks {tasks} after {self.tasks}. Sum them up apart.')
        chosen = (gates > 0).double()
        share = gates / gates.sum(dim=-1, keepdim=True).clamp(min=1e-12)
        both = torch.einsum('tbn,sbn->tsb', chosen, chosen)
        sizes = chosen.sum(dim=-1)
        either = sizes[:, None] + sizes[None] - both
        self.images += images
        self.decisions += gates.shape[1]
        self.gate += gates.sum(dim=1)
        self.square += gates.square().sum(dim=1)
        self.chosen += chosen.sum(dim=1)
        self.entropy += torch.special.entr(share).sum(dim=(1, 2))
        self.common += (both / either.clamp(min=1)).sum(dim=-1)

    def result(self) -> LayerRouting:
        count = self.decisions
        mean, square = self.gate / count, self.square / count
        spread = (square - mean.square()).clamp(min=0).sqrt().mean(dim=1)
        arrays = (mean, self.chosen / count, spread, self.entropy / count, self.common / count)
        return LayerRouting(self.tasks, self.images, count, *(x.numpy() for x in arrays))
