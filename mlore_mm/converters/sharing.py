"""Keys of the published Cross-stitch, NDDR-CNN and MTAN, and how the first two start from single-task models."""

from collections.abc import Mapping

from torch import Tensor

from mlore_mm.converters.densemtl import DEEPLAB_ROWS
from mlore_mm.converters.naming import naming
from mlore_mm.converters.published import register_system
from mlore_mm.converters.rename import KeyTable
from mlore_mm.engine.checkpoints import read_checkpoint, write_checkpoint
from mlore_mm.engine.checkpoints.weights import check_values

CROSS_STITCH = register_system(
    'cross_stitch',
    KeyTable(
        [
            ('backbone.{t}.{rest}', 'backbone.encoders.{t}.{rest}'),
            ('cross_stitch.layer{i}.cross_stitch_unit.{t}.{u}.param', 'backbone.exchange.layer{i}.weight.{t}.{u}'),
            *DEEPLAB_ROWS,
        ],
        name='published Cross-stitch',
    ),
)

NDDR_CNN = register_system(
    'nddr_cnn',
    KeyTable(
        [
            ('backbone.{t}.{rest}', 'backbone.encoders.{t}.{rest}'),
            ('nddr.conv.layer.{t}.{j}.{p}', 'backbone.exchange.stem.mix.{t}.{j}.{p}'),
            ('nddr.layer1_without_conv.layer.{t}.{j}.{p}', 'backbone.exchange.layer1.mix.{t}.{j}.{p}'),
            ('nddr.layer{i}.layer.{t}.{j}.{p}', 'backbone.exchange.layer{i}.mix.{t}.{j}.{p}'),
            *DEEPLAB_ROWS,
        ],
        name='published NDDR-CNN',
    ),
)

MTAN = register_system(
    'mtan',
    KeyTable(
        [
            ('backbone.{rest}', 'backbone.encoder.{rest}'),
            ('attention_{i}.{t}.{rest}', 'backbone.attention.{i}.{t}.{rest}'),
            ('refine_{i}.0.{rest}', 'backbone.refine.{i}.{rest}'),
            *DEEPLAB_ROWS,
        ],
        name='published MTAN',
    ),
)


def join_files(files: Mapping[str, str], dst: str) -> int:
    """:func:`join_single_tasks` with checkpoints of ours, by task; how many tensors were written to ``dst``.

    Raises:
        ValueError: Naming the file: it cannot be read, has numbers that are not finite, or no head for its task. Or
            encoders of two tasks differ.
    """
    joined = {}
    for task, path in files.items():
        state = read_checkpoint(path)['state_dict']
        check_values({}, state, path)
        with naming(path):
            joined.update(join_single_tasks({task: state}))
    check_encoders(joined, {task: f"'{task}' ({path})" for task, path in files.items()})
    write_checkpoint(dict(state_dict=joined, meta={}), dst)
    return len(joined)


def join_single_tasks(states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Trained single-task models as the start of Cross-stitch or NDDR; the exchange keeps its own start.

    Args:
        states: Task to the weights of our model of that task: an encoder, and a head for the task in a ``PerTaskHead``.

    Raises:
        ValueError: A model has no head for its task, or encoders differ.
    """
    joined = {}
    for task, state in states.items():
        head = f'decode_head.heads.{task}.'
        if not any(key.startswith(head) for key in state):
            heads = sorted({key.split('.')[2] for key in state if key.startswith('decode_head.heads.')})
            raise ValueError(
                f"The weights given for the task '{task}' have heads for {heads}: give the ones of '{task}'."
            )
        for key, value in state.items():
            if key.startswith('backbone.'):
                joined[key.replace('backbone.', f'backbone.encoders.{task}.', 1)] = value
            elif key.startswith(head):
                joined[key] = value
    check_encoders(joined, {task: f"'{task}'" for task in states})
    return joined


def check_encoders(joined: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Features are exchanged between the encoders of joined models, so these are alike: same tensors, same shapes.

    Args:
        joined: Weights of the joined model.
        names: Task to what an error calls it.

    Raises:
        ValueError: Naming the tasks and the tensor.
    """
    shapes = {}
    for task in names:
        prefix = f'backbone.encoders.{task}.'
        shapes[task] = {key.removeprefix(prefix): tuple(x.shape) for key, x in joined.items() if key.startswith(prefix)}
    first, *others = names
    pairs = [(task, key) for task in others for key in sorted({*shapes[first], *shapes[task]})]
    for other, key in pairs:
        here, there = shapes[first].get(key), shapes[other].get(key)
        if here != there:
            raise ValueError(
                f'The encoders of {names[first]} and {names[other]} differ: backbone.{key} is {here or "missing"} in '
                f'the first and {there or "missing"} in the second. Join models of one config, one task each.'
            )
