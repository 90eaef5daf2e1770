"""Keys of the published InvPT."""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from mlore_mm.converters.plain_vit import vit_rows
from mlore_mm.converters.published import register_system
from mlore_mm.converters.rename import KeyTable, Value

_DECODER = 'multi_task_decoder'
_PYRAMID = f'{_DECODER}.invpt'
_STAGE = f'{_PYRAMID}.invpt_stages.{{i}}'
_OURS = 'decode_head.stages.{i}'
UNUSED = {
    r'multi_task_decoder\.scale_embed\.2\.': 'the third level of the encoder, which is computed and thrown away',
    r'multi_task_decoder\.invpt\.redu_chan\.0\.': 'the first stage has the channels of the sum already',
    r'multi_task_decoder\.invpt\.invpt_stages\.0\.blocks\.0\.attn\.fuse_attn\.': 'no stage sends messages to the first',
    r'multi_task_decoder\.invpt\.norm_mt\.': 'a norm that is never called',
}
_FIRST_OF_TASK = re.compile(r'(?:module\.)?multi_task_decoder\.intermediate_head\.(\w+)\.weight')
_OUR_FIRST_OF_TASK = re.compile(r'decode_head\.intermediate\.(\w+)\.weight')


class InvPTKeys:
    """The table of InvPT, in which some parts go by a task's position; the order of the tasks is that of the keys."""

    def to_ours(self, state: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, str]]:
        """See :meth:`KeyTable.to_ours`."""
        return invpt_table(_tasks(state, _FIRST_OF_TASK)).to_ours(state)

    def to_published(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """See :meth:`KeyTable.to_published`; parts that are created and never used come back as zeros."""
        tasks = _tasks(state, _OUR_FIRST_OF_TASK)
        published = invpt_table(tasks).to_published(state)
        if all(isinstance(value, Tensor) for value in state.values()):
            dead = _dead_shapes(state, tasks)
            published.update({f'module.{key}': torch.zeros(shape) for key, shape in dead.items()})
        return published


def invpt_table(tasks: Sequence[str]) -> KeyTable:
    """Keys for these tasks, in this order."""
    return KeyTable([*vit_rows(), *_shared_rows(), *_rows_by_position(tasks)], UNUSED, name='published InvPT')


def _shared_rows() -> list[tuple[str, str]]:
    return [
        (f'{_DECODER}.preliminary_decoder.{{t}}.{{i}}.conv.{{p}}', 'decode_head.preliminary.{t}.{i}.conv.{p}'),
        (f'{_DECODER}.preliminary_decoder.{{t}}.{{i}}.bn1.{{p}}', 'decode_head.preliminary.{t}.{i}.bn.{p}'),
        (f'{_DECODER}.intermediate_head.{{t}}.{{p}}', 'decode_head.intermediate.{t}.{p}'),
        (f'{_PYRAMID}.mix_proj.{{t}}.0.{{p}}', 'decode_head.mix.{t}.{p}'),
        (f'{_DECODER}.scale_embed.1.{{p}}', 'decode_head.skips.0.{p}'),
        (f'{_DECODER}.scale_embed.0.{{p}}', 'decode_head.skips.1.{p}'),
        (f'{_STAGE}.blocks.0.norm1.{{p}}', f'{_OURS}.norm1.{{p}}'),
        (f'{_STAGE}.blocks.0.norm2.{{p}}', f'{_OURS}.norm2.{{p}}'),
        (f'{_STAGE}.blocks.0.mlp.fc1.{{p}}', f'{_OURS}.mlp.0.{{p}}'),
        (f'{_STAGE}.blocks.0.mlp.fc2.{{p}}', f'{_OURS}.mlp.2.{{p}}'),
        (f'{_STAGE}.blocks.0.attn.proj_q.{{p}}', f'{_OURS}.attn.query.{{p}}'),
        (f'{_STAGE}.blocks.0.attn.proj_k.{{p}}', f'{_OURS}.attn.key.{{p}}'),
        (f'{_STAGE}.blocks.0.attn.proj_v.{{p}}', f'{_OURS}.attn.value.{{p}}'),
        (f'{_STAGE}.blocks.0.attn.proj.{{p}}', f'{_OURS}.attn.proj.{{p}}'),
        (f'{_STAGE}.blocks.0.attn.fuse_attn.{{p}}', f'{_OURS}.attn.mix.{{p}}'),
        (f'{_PYRAMID}.norm_mts.{{i}}.{{p}}', 'decode_head.fusion.norms.{i}.{p}'),
        (f'{_PYRAMID}.mt_proj.{{t}}.0.{{p}}', 'decode_head.fusion.conv.{t}.{p}'),
        (f'{_PYRAMID}.mt_proj.{{t}}.1.{{p}}', 'decode_head.fusion.norm.{t}.{p}'),
        ('heads.{t}.linear_pred.{p}', 'decode_head.fusion.predict.{t}.{p}'),
    ]


def _rows_by_position(tasks: Sequence[str]) -> Iterable[tuple[str, str]]:
    for n, task in enumerate(tasks):
        yield f'{_STAGE}.blocks.0.attn.conv_proj_q.{n}.{{rest}}', f'{_OURS}.attn.reduce.{task}.{{rest}}'
        for theirs, ours in ((1, 'conv1'), (2, 'norm1'), (4, 'conv2'), (5, 'norm2')):
            yield f'{_STAGE}.patch_embed.{n}.proj.{theirs}.{{p}}', f'{_OURS}.enlarge.{task}.{ours}.{{p}}'
        for stage in (1, 2):  # the list begins with the second stage here, with the first there
            yield f'{_PYRAMID}.redu_chan.{stage}.{n}.{{p}}', f'decode_head.fusion.project.{stage - 1}.{task}.{{p}}'


def _tasks(state: Mapping[str, Value], pattern: re.Pattern) -> list[str]:
    return [match[1] for key in state if (match := pattern.fullmatch(key))]


def _dead_shapes(state: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the parts in :data:`UNUSED`."""
    width, encoder = len(state[f'decode_head.mix.{tasks[0]}.bias']), state['decode_head.skips.0.weight'].shape[1]
    last = len(state['decode_head.skips.1.bias'])
    heads, both = state['decode_head.stages.1.attn.mix.weight'].shape[:2]
    shapes = {
        'scale_embed.2': ((width, encoder, 3, 3), (width,)),
        **{f'invpt.redu_chan.0.{n}': ((width, width, 1, 1), (width,)) for n in range(len(tasks))},
        'invpt.invpt_stages.0.blocks.0.attn.fuse_attn': ((heads, both, 1, 1), (heads,)),
        'invpt.norm_mt': ((len(tasks) * last,), (len(tasks) * last,)),
    }
    pairs = {f'{_DECODER}.{name}': pair for name, pair in shapes.items()}
    return {
        f'{name}.{p}': shape for name, pair in pairs.items() for p, shape in zip(('weight', 'bias'), pair, strict=True)
    }


INVPT = register_system('invpt', InvPTKeys())
