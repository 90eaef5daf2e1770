"""From outputs and labels to the named losses of one training step."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.features import Features
from mlore_mm.models.losses.groups import AuxiliaryGroup, LossContext
from mlore_mm.models.losses.mmseg_loss import adapt_loss
from mlore_mm.models.losses.reduction import Reduction, full_precision
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import Task, TaskSet

Losses = dict[str, Tensor]


@MODELS.register_module()
class MultiTaskCriterion(nn.Module):
    """A loss per task, their weighting, losses of auxiliary logits, and losses of the routing.

    mmengine adds up every returned value whose name contains ``loss``: ``loss_<task>``, ``loss_<group>_<task>`` for
    auxiliary logits and ``loss_<name>`` for auxiliary losses. The others are only logged.

    A loss is called as ``loss(logits, target, valid)`` with the encoded label (``Task.encode``), and with ``reduction``
    (:class:`Reduction`) and ``context`` (:class:`LossContext`) where its ``forward`` has arguments of these names.

    Args:
        tasks: The tasks, or their configs by name. Each says its ``loss`` and ``loss_weight``.
        weighting: Config of the weighting of the final losses, see ``weighting.py``.
        auxiliary: Group of auxiliary logits to its weight, or to a dict of :class:`AuxiliaryGroup`:
            ``dict(initial=dict(weight=0.5, tasks='all'), scale_1=dict(combine='mean'))``. The weighting above does not
            touch the groups' losses.
        auxiliary_losses: Name to config of a loss that is called with the router trace.
        log_unweighted: Also return every task's loss before weighting, as ``raw_<task>``.
        average: What means over valid pixels are taken over in a distributed run. 'process' (as published): the pixels
            of each process, and then the mean of the processes; a process with few valid pixels weighs as much as one
            with many. 'batch': the pixels of all processes, so that the result does not depend on their number; the
            balance loss of the routers is over all samples then, too.
        align_corners: How final logits are resized to the label.
        auxiliary_weights: An older name of ``auxiliary``.
    """

    def __init__(
        self,
        tasks: Mapping,
        weighting: dict | None = None,
        auxiliary: Mapping[str, Any] | None = None,
        auxiliary_losses: Mapping[str, dict] | None = None,
        log_unweighted: bool = False,
        average: str = 'process',
        align_corners: bool = False,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if average not in ('process', 'batch'):
            raise ValueError(f"average of MultiTaskCriterion is 'process' or 'batch', but got {average!r}.")
        self.average = average
        self.tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        self.task_losses = nn.ModuleDict({name: _build_loss(task) for name, task in self.tasks.items()})
        self.weighting = MODELS.build({**(weighting or dict(type='FixedWeighting')), 'tasks': self.tasks})
        groups = {**(auxiliary_weights or {}), **(auxiliary or {})}
        self.groups = {name: AuxiliaryGroup.of(config, name) for name, config in groups.items()}
        self.auxiliary_losses = nn.ModuleDict(
            {name: MODELS.build(loss) for name, loss in (auxiliary_losses or {}).items()}
        )
        self.log_unweighted, self.align_corners = log_unweighted, align_corners
        # Asked once: the compiler cannot look at signatures.
        self._task_extras = {name: _extras_of(loss) for name, loss in self.task_losses.items()}
        self._auxiliary_extras = {name: _extras_of(loss) for name, loss in self.auxiliary_losses.items()}

    @property
    def needs_context(self) -> bool:
        """Whether a loss looks at more than its own task."""
        return any('context' in names for names in self._task_extras.values())

    @property
    def needs_features(self) -> bool:
        """Whether the weighting looks at gradients."""
        return getattr(self.weighting, 'needs_features', False)

    def forward(
        self,
        output: MultiTaskOutput,
        targets: Mapping[str, Tensor],
        trace=None,
        metas: Sequence[Mapping[str, Any]] = (),
        feats: Features | None = None,
    ) -> Losses:
        """Losses by log key.

        Args:
            output: Logits of any subset of the tasks; logits smaller than the label are upsampled first.
            targets: Labels (B, C, H, W) by task, at least for every task that has logits.
            trace: What the routers recorded in this forward pass, for the auxiliary losses.
            metas: Meta information of each image, for losses that ask for the context.
            feats: What the encoder returned, for a weighting with ``needs_features``.
        """
        extras = dict(reduction=Reduction(self.average == 'batch'), context=LossContext(targets, metas))
        auxiliary = self._supervised(output.auxiliary)
        raw = self._losses(output.logits, targets, self.align_corners, extras)
        raw = {name: loss / self._scales(name, auxiliary, final=True) for name, loss in raw.items()}
        wanted = (raw, feats) if self.needs_features else (raw,)
        losses = {f'loss_{name}': loss for name, loss in self.weighting(*wanted).items()}
        for group, logits in auxiliary.items():
            weight = self.groups[group].weight
            for name, loss in self._losses(logits, targets, self.groups[group].align_corners, extras).items():
                scales = self._scales(name, auxiliary, name in output.logits, group)
                losses[f'loss_{group}_{name}'] = weight * self.tasks[name].loss_weight * loss / scales
        for name, auxiliary_loss in self.auxiliary_losses.items():
            losses[f'loss_{name}'] = auxiliary_loss(trace, **_pick(extras, self._auxiliary_extras[name]))
        if self.log_unweighted:
            losses.update({f'raw_{name}': loss.detach() for name, loss in raw.items()})
        return losses

    def _supervised(self, auxiliary: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """The groups with the tasks that they supervise."""
        kept = {}
        for group, logits in auxiliary.items():
            names = self._group(group).supervised(self.tasks)
            kept[group] = {name: x for name, x in logits.items() if name in names or name not in self.tasks}
        return kept

    def _scales(self, task: str, auxiliary: Mapping, final: bool, group: str | None = None) -> int:
        """How many logits share in the mean that a loss belongs to; 1 where it is added."""
        if group is not None and self.groups[group].combine == 'add':
            return 1
        means = [name for name, logits in auxiliary.items() if self.groups[name].combine == 'mean' and task in logits]
        return max(len(means) + final, 1)

    def _losses(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor], align: bool, extras: dict) -> Losses:
        """Unweighted losses, in the order of the task set."""
        unknown = [name for name in logits if name not in self.tasks]
        unlabelled = [name for name in logits if name not in targets]
        if unknown or unlabelled:
            raise ValueError(
                f'The criterion got logits of {list(logits)} and labels of {list(targets)}, and knows the tasks '
                f'{list(self.tasks)}: every task with logits has to be known and labelled. Check `tasks` of the '
                f'model, and the loading of labels in the training pipeline.'
            )
        return {
            name: self._loss(name, logits[name], targets[name], align, extras) for name in self.tasks if name in logits
        }

    def _loss(self, name: str, logits: Tensor, target: Tensor, align: bool, extras: dict) -> Tensor:
        logits = full_precision(logits)
        if logits.shape[-2:] != target.shape[-2:]:
            logits = F.interpolate(logits, size=target.shape[-2:], mode='bilinear', align_corners=align)
        task = self.tasks[name]
        wanted = _pick(extras, self._task_extras[name])
        return self.task_losses[name](logits, task.encode(target), task.valid_mask(target), **wanted)

    def _group(self, group: str) -> AuxiliaryGroup:
        if group not in self.groups:
            raise ValueError(
                f"The head returned the auxiliary group '{group}', which has no weight: `auxiliary` of the criterion "
                f'names {list(self.groups)}. Add auxiliary=dict({group}=1.0).'
            )
        return self.groups[group]


def _extras_of(module: nn.Module) -> tuple[str, ...]:
    """Which further arguments a loss takes."""
    known = inspect.signature(module.forward).parameters
    return tuple(name for name in ('reduction', 'context') if name in known)


def _pick(extras: dict, names: Sequence[str]) -> dict:
    return {name: extras[name] for name in names}


def _build_loss(task: Task) -> nn.Module:
    if not task.loss:
        raise ValueError(f"Task '{task.name}' has no `loss`. Give it one, such as loss=dict(type='MaskedL1Loss').")
    loss = adapt_loss(MODELS.build(task.loss))
    weights = getattr(loss, 'class_weight', None) or getattr(loss, 'class_weights', None)
    if isinstance(weights, Sequence) and len(weights) != task.out_channels:
        raise ValueError(
            f"The loss of task '{task.name}' has {len(weights)} class weights, but out_channels={task.out_channels}: "
            f'one for every class is needed.'
        )
    return loss
