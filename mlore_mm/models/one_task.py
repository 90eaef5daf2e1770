"""One task cut out of a model for several: which experts it needs, and letting go of the rest.

What a part has to let go it knows itself. Encoders that run per task have ``keep_task(task, experts)`` and
``mixtures()``, and ``expert_use(task)`` where training counts; heads have :meth:`MultiTaskHead.keep_task`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mlore_mm.models.encoding import call_mode
from mlore_mm.models.layers.task_modules import drop_names


def check_separable(model: nn.Module, task: str) -> None:
    """See that a task is predicted, and by features and modules of its own and of all tasks.

    Raises:
        ValueError: The task is none of the model's, is auxiliary, or needs what is computed for other tasks.
    """
    if task in model.tasks.aux:
        raise ValueError(
            f"'{task}' is an auxiliary task of this model, which is not predicted; those to extract are "
            f'{list(model.tasks.main)}.'
        )
    if task not in model.tasks:
        raise ValueError(f"There is no task '{task}' to extract, only {list(model.tasks.main)}.")
    backbone, head = model.backbone, model.decode_head
    needed = head.required_tasks([task])
    if needed != [task]:
        raise ValueError(
            f'{type(head).__name__} computes features of {needed} to predict {task!r}: it is no model of its own.'
        )
    if call_mode(backbone) != 'once' and not hasattr(backbone, 'keep_task'):
        raise ValueError(
            f'{type(backbone).__name__} computes tasks together and has no method `keep_task`: no task can be cut out.'
        )


def choose_experts(model: nn.Module, use: Mapping[str, Tensor], threshold: float = 3.0) -> dict[str, Tensor]:
    """Ids, ascending, of the experts to keep, by mixture of the encoder; empty for an encoder without.

    Args:
        model: The whole model.
        use: By mixture how often a task chose each expert (E,), on any scale.
        threshold: An expert is kept if more than this percentage of the tokens chose it. Where fewer than k are, the k
            most used ones stay; all stay where no more than k are there.

    Raises:
        ValueError: The use of a mixture is not known, or all zero.
    """
    chosen = {}
    for name, part in mixtures(model).items():
        experts, top_k = part.mixture.num_experts, part.router.gate.top_k
        if experts <= top_k:
            chosen[name] = torch.arange(experts)
            continue
        count = use.get(name)
        if count is None or count.sum() <= 0:
            raise ValueError(
                f"It was never counted how often the task uses the experts of '{name}': the weights were converted, or "
                'not trained. Count it on images (--use measured), or train for some hundred iterations.'
            )
        chosen[name] = _most_used(count.cpu(), top_k, threshold)
    return chosen


def _most_used(count: Tensor, top_k: int, threshold: float) -> Tensor:
    """Source: Mod-Squad (Chen et al., CVPR 2023): a share of the choices above threshold / k percent."""
    keep = (100 * count / count.sum() > threshold / top_k).nonzero()[:, 0]
    return keep if len(keep) >= top_k else count.topk(top_k).indices.sort().values


def mixtures(model: nn.Module) -> dict[str, nn.Module]:
    """The routed layers of the encoder by their names in routing records; each has a ``router`` and a ``mixture``."""
    return model.backbone.mixtures() if hasattr(model.backbone, 'mixtures') else {}


def keep_task(model: nn.Module, task: str, experts: Mapping[str, Tensor]) -> dict[str, dict]:
    """Let go, in place, of what serves other tasks and of all experts but these.

    The model is a store of weights afterwards: build another one from the changed config to compute with them. A
    router's softmax then runs over fewer experts, so gates grow: outputs are close to the whole model's, and equal
    where all experts are kept.

    Returns:
        The options of 'backbone' and 'decode_head' that change.
    """
    others = [name for name in model.tasks.names if name != task]
    changes = dict(backbone={}, decode_head=model.decode_head.keep_task(task))
    if hasattr(model.backbone, 'keep_task'):
        changes['backbone'] = model.backbone.keep_task(task, experts)
    for part in (model.backbone, model.neck):
        if part is not None:
            drop_names(part, others)
    return changes
