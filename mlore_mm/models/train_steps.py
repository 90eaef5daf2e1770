"""One optimizer step from several backward passes: the tasks one after the other."""

from typing import Any

import torch
from mmengine.dist import all_reduce_params, is_distributed
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

STEPS = ('joint', 'one_by_one')


def check_step(train_cfg: dict, criterion: nn.Module, surgery: nn.Module | None) -> str:
    """The step mode of ``train_cfg``.

    Raises:
        ValueError: An unknown mode, or parts that need all tasks at once in a mode that never has them.
    """
    step = train_cfg.get('step', 'joint')
    if step not in STEPS:
        raise ValueError(f'train_cfg.step is one of {STEPS}, but got {step!r}.')
    if step == 'one_by_one':
        parts = [criterion.weighting, *criterion.auxiliary_losses.values(), *([surgery] if surgery else [])]
        wrong = [type(part).__name__ for part in parts if not getattr(part, 'adds_over_tasks', False)]
        if wrong:
            raise ValueError(
                f"train_cfg.step='one_by_one' computes one task at a time, but {', '.join(wrong)} looks at all tasks "
                "of a step together. Leave it out, or use step='joint'."
            )
    return step


def step_one_by_one(model: nn.Module, data: dict, optim_wrapper: OptimWrapper) -> dict[str, Any]:
    """Forward and backward for one task after the other, then one step of the optimizer.

    The gradients add up to those of the joint loss; only one task's activations are in memory at a time. Batch norms
    that tasks share count the batch once per task, as in the published training of M3ViT.

    In distributed training the gradients are averaged once, after the last task; the model is called without its
    wrapper, which would do so after every task.

    Returns:
        What is logged, as from ``train_step`` of mmengine: the terms of all tasks and their sum ``loss``.
    """
    with optim_wrapper.optim_context(model):
        data = model.data_preprocessor(data, True)
    logged: dict[str, Any] = {}
    names = list(model.tasks)
    for name in names:
        with optim_wrapper.optim_context(model):
            losses = model(**data, mode='loss', tasks=[name])
        total, values = model.parse_losses(losses)
        _backward(optim_wrapper, total, last=name == names[-1])
        logged.update(values, loss=logged.get('loss', 0) + values['loss'])
    if optim_wrapper.should_update():
        if is_distributed():
            _average_gradients(model)
        optim_wrapper.step()
        optim_wrapper.zero_grad()
    return logged


def _backward(optim_wrapper: OptimWrapper, loss: Tensor, last: bool) -> None:
    """The wrapper counts its calls of ``backward`` as iterations, so only the last task's goes through it."""
    loss = optim_wrapper.scale_loss(loss)
    if last:
        optim_wrapper.backward(loss)
        return
    scaler = getattr(optim_wrapper, 'loss_scaler', None)  # AMP
    (loss if scaler is None else scaler.scale(loss)).backward()


@torch.no_grad()
def _average_gradients(model: nn.Module) -> None:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    all_reduce_params(gradients, op='mean')
