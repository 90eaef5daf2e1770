"""How an encoder wants to be called, and calling it so."""

from collections.abc import Sequence

from torch import Tensor, nn

from mlore_mm.models.encoded_images import EncodedImages
from mlore_mm.models.features import Features
from mlore_mm.registry import MODELS, class_of
from mlore_mm.routing import task_context
from mlore_mm.tasks import TaskSet

CALL_MODES = ('once', 'per_task', 'owner')


def build_backbone(config: dict, tasks: TaskSet) -> nn.Module:
    """The backbone of a config; one whose class has ``needs_tasks = True`` is built with the model's ``tasks``.

    Raises:
        ValueError: The class names a ``call_mode`` that there is not, or cannot be built from these settings.
    """
    config = dict(config)
    if getattr(class_of(config), 'needs_tasks', False):
        config['tasks'] = tasks
    try:
        backbone = MODELS.build(config)
    except (KeyError, TypeError, AssertionError) as error:  # as backbones of others say it
        settings = {key: value for key, value in config.items() if key != 'tasks'}
        raise ValueError(f'model.backbone cannot be built from {settings}: {error}') from error
    call_mode(backbone)
    return backbone


def call_mode(backbone: nn.Module) -> str:
    """'once' (any ordinary backbone), 'per_task' or 'owner'; see :func:`encode`."""
    mode = getattr(backbone, 'call_mode', None)
    if mode is None:
        mode = 'per_task' if getattr(backbone, 'task_conditioned', False) else 'once'
    if mode not in CALL_MODES:
        raise ValueError(f'{type(backbone).__name__}.call_mode is one of {CALL_MODES}, but is {mode!r}.')
    return mode


def encode(
    backbone: nn.Module, images: Tensor | EncodedImages, names: Sequence[str], order: Sequence[str], folded: bool
) -> Features:
    """Features of the named tasks; those that come in place of the images are taken as they are.

    - ``call_mode = 'once'``: ``backbone(images)`` returns levels that all tasks share.
    - ``'per_task'``: ``backbone(images, task_id)`` returns the levels of one task, where the id is its position in the
      model's order. A backbone may also offer ``forward_folded(images, task_ids)``, all of them in one call, which
      returns levels (T, B, C, h, w); it has to give the same numbers.
    - ``'owner'``: ``backbone(images, names)`` holds prompts or gates of each task and returns :class:`Features`.

    Args:
        backbone: The encoder.
        images: (B, C, H, W).
        names: Tasks to compute features for, in the model's order.
        order: All tasks of the model.
        folded: Take the folded call where there is one.
    """
    if isinstance(images, EncodedImages):
        return images.features
    mode = call_mode(backbone)
    if mode == 'once':
        return Features.wrap(backbone(images))
    if mode == 'owner':
        return Features.wrap(backbone(images, list(names)))
    ids = [list(order).index(name) for name in names]
    if folded and hasattr(backbone, 'forward_folded'):
        with task_context(names):
            levels = backbone.forward_folded(images, ids)
        return Features(per_task={name: tuple(level[i] for level in levels) for i, name in enumerate(names)})
    return Features.wrap({name: _for_task(backbone, images, name, i) for name, i in zip(names, ids, strict=True)})


def _for_task(backbone: nn.Module, images: Tensor, name: str, task_id: int):
    with task_context([name]):
        return backbone(images, task_id)
