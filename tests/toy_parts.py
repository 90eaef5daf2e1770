"""Encoders and a decoder of a few lines, for the joints between parts."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.routing import TopKGate


@MODELS.register_module()
class ToyEncoder(nn.Module):
    """Four channels at a quarter of the size, with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4)

    def forward(self, x):
        return (self.norm(self.conv(x)),)


@MODELS.register_module()
class ToyTaskEncoder(ToyEncoder):
    """The same, shifted by the task's id; remembers its calls."""

    task_conditioned = True

    def __init__(self) -> None:
        super().__init__()
        self.calls = []

    def forward(self, x, task_id):
        self.calls.append(task_id)
        return (super().forward(x)[0] + task_id,)


@MODELS.register_module()
class ToyFoldedEncoder(ToyTaskEncoder):
    """The same, which can do all tasks in one call."""

    def forward_folded(self, x, task_ids):
        self.calls.append(tuple(task_ids))
        shared = ToyEncoder.forward(self, x)[0]
        return (torch.stack([shared + i for i in task_ids]),)


@MODELS.register_module()
class ToyOwner(ToyEncoder):
    """Holds a prompt per task, which it adds; returns features of every task and what it added."""

    call_mode, needs_tasks = 'owner', True

    def __init__(self, tasks) -> None:
        super().__init__()
        self.prompts = nn.ParameterDict(
            {name: nn.Parameter(torch.full((4,), float(i))) for i, name in enumerate(tasks)}
        )

    def forward(self, x, tasks):
        (x,) = super().forward(x)
        prompts = {name: self.prompts[name] for name in tasks}
        per_task = {name: (x + prompt[:, None, None],) for name, prompt in prompts.items()}
        return Features(per_task=per_task, extras=dict(prompts=prompts))


@MODELS.register_module()
class ToyCrossTaskHead(MultiTaskHead):
    """Final predictions of the main tasks come from the sum of all tasks' features, initial ones from their own."""

    def __init__(self, tasks, aux_tasks=None) -> None:
        super().__init__(tasks, [4], aux_tasks=aux_tasks)
        channels = {name: task.out_channels for name, task in self.tasks.items()}
        self.initial = nn.ModuleDict({name: nn.Conv2d(4, c, 1) for name, c in channels.items()})
        self.final = nn.ModuleDict({name: nn.Conv2d(4, channels[name], 1) for name in self.main_tasks})

    def required_tasks(self, tasks):
        return list(self.tasks.names)

    def forward(self, feats, tasks=None):
        levels = {name: self.select(feats, name)[0] for name in self.tasks.names}
        total = sum(levels.values())
        wanted = [name for name in self.active_tasks(tasks) if name in self.main_tasks]
        groups = {}
        if self.wants_auxiliary('initial'):
            groups['initial'] = {name: self.initial[name](x) for name, x in levels.items()}
        return MultiTaskOutput({name: self.final[name](total) for name in wanted}, groups)


@MODELS.register_module()
class ToyRoutedEncoder(ToyEncoder):
    """The same, with channels weighted by a router."""

    def __init__(self, with_cp: bool = False) -> None:
        super().__init__()
        self.router, self.gate, self.with_cp = nn.Linear(4, 4), TopKGate(2, noise='none'), with_cp

    def forward(self, x):
        (x,) = super().forward(x)
        return (checkpoint(self._route, x, use_reentrant=False) if self.with_cp else self._route(x),)

    def _route(self, x):
        routing = self.gate(self.router(x.mean(dim=(2, 3))))
        routing.record('backbone/toy')
        return x * routing.gates[..., None, None]


@MODELS.register_module()
class ToyAuxiliaryHead(MultiTaskHead):
    """A convolution per task, and a first guess of ``guessed`` in training."""

    def __init__(self, tasks, guessed: str) -> None:
        super().__init__(tasks, [4])
        self.convs = nn.ModuleDict({name: nn.Conv2d(4, task.out_channels, 1) for name, task in self.tasks.items()})
        self.guess, self.guessed = nn.Conv2d(4, self.tasks[guessed].out_channels, 1), guessed

    def forward(self, feats, tasks=None):
        (x,) = self.select(feats)
        logits = {name: self.convs[name](x) for name in self.active_tasks(tasks)}
        auxiliary = {'initial': {self.guessed: self.guess(x)}} if self.training else {}
        return MultiTaskOutput(logits, auxiliary)


@MODELS.register_module()
class ToyTokenRouter(ToyFoldedEncoder):
    """Every pixel of every task routed for itself, in separate calls or a folded one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = TopKGate(2, noise='none')

    def forward(self, x, task_id):
        (x,) = super().forward(x, task_id)
        self.gate(x.flatten(2).transpose(1, 2)).record('backbone/tokens')
        return (x,)

    def forward_folded(self, x, task_ids):
        (x,) = super().forward_folded(x, task_ids)
        self.gate(x.flatten(3).transpose(2, 3)).record('backbone/tokens')
        return (x,)
