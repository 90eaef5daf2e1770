"""From outputs and labels to the named losses of one training step."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.losses.reduction import over_whole_batch
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import Task, TaskSet


@MODELS.register_module()
class MultiTaskCriterion(nn.Module):
    """A loss per task, their weighting, losses of auxiliary logits, and losses of the routing.

    mmengine adds up every returned value whose name contains ``loss``: ``loss_<task>``, ``loss_<group>_<task>`` for
    auxiliary logits and ``loss_<name>`` for auxiliary losses. The others are only logged.

    Args:
        tasks: The tasks, or their configs by name. Each says its ``loss`` and ``loss_weight``.
        weighting: Config of the weighting of the final losses, see ``weighting.py``.
        auxiliary_weights: Weight of each group of auxiliary logits, on top of ``loss_weight`` of the task. The
            weighting above does not touch them.
        auxiliary_losses: Name to config of a loss that is called with the router trace.
        log_unweighted: Also return every task's loss before weighting, as ``raw_<task>``.
        average: What means over valid pixels are taken over in a distributed run. 'process' (as published): the pixels
            of each process, and then the mean of the processes; a process with few valid pixels weighs as much as one
            with many. 'batch': the pixels of all processes, so that the result does not depend on their number; the
            balance loss of the routers is over all samples then, too.
    """

    def __init__(
        self,
        tasks: Mapping,
        weighting: dict | None = None,
        auxiliary_weights: Mapping[str, float] | None = None,
        auxiliary_losses: Mapping[str, dict] | None = None,
        log_unweighted: bool = False,
        average: str = 'process',
    ) -> None:
        super().__init__()
        if average not in ('process', 'batch'):
            raise ValueError(f"average of MultiTaskCriterion is 'process' or 'batch', but got {average!r}.")
        self.average = average
        self.tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        self.task_losses = nn.ModuleDict({name: _build_loss(task) for name, task in self.tasks.items()})
        self.weighting = MODELS.build({**(weighting or dict(type='FixedWeighting')), 'tasks': self.tasks})
        self.auxiliary_weights = dict(auxiliary_weights or {})
        self.auxiliary_losses = nn.ModuleDict(
            {name: MODELS.build(loss) for name, loss in (auxiliary_losses or {}).items()}
        )
        self.log_unweighted = log_unweighted

    def forward(self, output: MultiTaskOutput, targets: Mapping[str, Tensor], trace=None) -> dict[str, Tensor]:
        """Losses by log key.

        Args:
            output: Logits of any subset of the tasks; logits smaller than the label are upsampled first.
            targets: Labels (B, C, H, W) by task, at least for every task that has logits.
            trace: What the routers recorded in this forward pass, for the auxiliary losses.
        """
        with over_whole_batch(self.average == 'batch'):
            return self._weighted(output, targets, trace)

    def _weighted(self, output: MultiTaskOutput, targets: Mapping[str, Tensor], trace) -> dict[str, Tensor]:
        raw = self._losses(output.logits, targets)
        losses = {f'loss_{name}': loss for name, loss in self.weighting(raw).items()}
        for group, logits in output.auxiliary.items():
            weight = self._group_weight(group)
            for name, loss in self._losses(logits, targets).items():
                losses[f'loss_{group}_{name}'] = weight * self.tasks[name].loss_weight * loss
        for name, auxiliary_loss in self.auxiliary_losses.items():
            losses[f'loss_{name}'] = auxiliary_loss(trace)
        if self.log_unweighted:
            losses.update({f'raw_{name}': loss.detach() for name, loss in raw.items()})
        return losses

    def _losses(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted losses, in the order of the task set."""
        unknown = [name for name in logits if name not in self.tasks]
        unlabelled = [name for name in logits if name not in targets]
        if unknown or unlabelled:
            raise ValueError(
                f'The criterion got logits of {list(logits)} and labels of {list(targets)}, and knows the tasks '
                f'{list(self.tasks)}: every task with logits has to be known and labelled. Check `tasks` of the '
                f'model, and the loading of labels in the training pipeline.'
            )
        return {name: self._loss(name, logits[name], targets[name]) for name in self.tasks if name in logits}

    def _loss(self, name: str, logits: Tensor, target: Tensor) -> Tensor:
        logits = logits.float()
        if logits.shape[-2:] != target.shape[-2:]:
            logits = F.interpolate(logits, size=target.shape[-2:], mode='bilinear', align_corners=False)
        return self.task_losses[name](logits, target, self.tasks[name].valid_mask(target))

    def _group_weight(self, group: str) -> float:
        if group not in self.auxiliary_weights:
            raise ValueError(
                f"The head returned the auxiliary group '{group}', which has no weight: `auxiliary_weights` of the "
                f'criterion names {list(self.auxiliary_weights)}. Add auxiliary_weights=dict({group}=1.0).'
            )
        return self.auxiliary_weights[group]


def _build_loss(task: Task) -> nn.Module:
    if not task.loss:
        raise ValueError(f"Task '{task.name}' has no `loss`. Give it one, such as loss=dict(type='MaskedL1Loss').")
    return MODELS.build(task.loss)
