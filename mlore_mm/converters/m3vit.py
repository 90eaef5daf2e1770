"""Keys of the published M3ViT, whose routers are numbered where ours have their task's name."""

import re
from collections.abc import Mapping
from typing import TypeVar

import torch

from mlore_mm.converters.plain_vit import vit_rows
from mlore_mm.converters.published import register_system
from mlore_mm.converters.rename import KeyTable
from mlore_mm.tasks import PUBLISHED_ORDER

Value = TypeVar('Value')
_GATE = re.compile(r'(.*blocks\.\d+\.mlp\.gate\.)(\w+)(\.w_gate)')
_COLUMNS = 'backbone.gate_task_represent.fc1.weight'
_COLUMN = 'backbone.gate_task_represent.fc1.column.'
_DECODER = re.compile(r'decoders\.(\w+)\.norm\.weight')


class M3ViTTable(KeyTable):
    """Rows, and the two places where a number stands for a task.

    The published code counts the tasks in the order of ``PUBLISHED_ORDER``, whatever its config says; absent ones are
    left out. Routers are ``gate.0``, ``gate.1``, ..., and the first layer of the task features has a column per task.
    """

    def to_ours(self, state: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, str]]:
        """Published layout to ours, see :meth:`KeyTable.to_ours`."""
        return super().to_ours(_named(state, self.prefix, self._tasks(state)))

    def to_published(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Our layout to the published one, see :meth:`KeyTable.to_published`."""
        published = super().to_published(state)
        tasks = self._tasks(published)
        columns = {key.rsplit('.', 1)[1]: key for key in published if key.startswith(self.prefix + _COLUMN)}
        if columns:
            stacked = torch.stack([published.pop(columns[task]) for task in tasks], dim=1)
            published[self.prefix + _COLUMNS] = stacked
        return {_numbered(key, tasks): value for key, value in published.items()}

    def _tasks(self, state: Mapping[str, Value]) -> list[str]:
        found = {match[1] for key in state if (match := _DECODER.fullmatch(key.removeprefix(self.prefix)))}
        if unknown := sorted(found - set(PUBLISHED_ORDER)):
            raise ValueError(
                f'The decoders are named {sorted(found)}, of which the published M3ViT does not know {unknown}: its '
                f'routers are counted in the order of {PUBLISHED_ORDER}.'
            )
        return [task for task in PUBLISHED_ORDER if task in found]


def _named(state: Mapping[str, Value], prefix: str, tasks: list[str]) -> dict[str, Value]:
    """The published state with names for numbers."""
    named = {}
    for key, value in state.items():
        if key.removeprefix(prefix) == _COLUMNS:
            named.update({prefix + _COLUMN + task: value[:, i].clone() for i, task in enumerate(tasks)})
        elif match := _GATE.fullmatch(key):
            if int(match[2]) >= len(tasks):
                raise ValueError(f"'{key}' is the router of a task without a decoder; there are decoders of {tasks}.")
            named[match[1] + tasks[int(match[2])] + match[3]] = value
        else:
            named[key] = value
    return named


def _numbered(key: str, tasks: list[str]) -> str:
    match = _GATE.fullmatch(key)
    return f'{match[1]}{tasks.index(match[2])}{match[3]}' if match else key


_BLOCK, _LAYER = 'backbone.blocks.{i}', 'backbone.layers.{i}'
_TAM, _ATTENTION = 'tam_model{j}', 'decode_head.attention.{j}'
_FEATURES = 'backbone.gate_task_represent'
M3VIT = register_system(
    'm3vit',
    M3ViTTable(
        [
            (f'{_BLOCK}.mlp.experts.htoh4.{{p}}', f'{_LAYER}.mixture.fc1.{{p}}'),
            (f'{_BLOCK}.mlp.experts.h4toh.{{p}}', f'{_LAYER}.mixture.fc2.{{p}}'),
            (f'{_BLOCK}.mlp.gate.{{t}}.w_gate', f'{_LAYER}.router.weight.{{t}}'),
            (f'{_BLOCK}.mlp.gate.w_gate', f'{_LAYER}.router.weight'),
            (f'{_COLUMN}{{t}}', 'backbone.task_features.columns.{t}'),
            (f'{_FEATURES}.fc1.bias', 'backbone.task_features.bias'),
            (f'{_FEATURES}.{{rest}}', 'backbone.task_features.{rest}'),
            *vit_rows(),
            ('decoders.{t}.conv_4.{p}', 'decode_head.decoders.{t}.predict.{p}'),
            ('decoders.{t}.conv_{i}.{p}', 'decode_head.decoders.{t}.convs.{i}.{p}'),
            ('decoders.{t}.syncbn_fc_{i}.{p}', 'decode_head.decoders.{t}.norms.{i}.{p}'),
            ('decoders.{t}.norm.{p}', 'decode_head.decoders.{t}.norm.{p}'),
            (f'{_TAM}.layers0.{{i}}.{{p}}', f'{_ATTENTION}.balance_in.{{i}}.{{p}}'),
            (f'{_TAM}.layers1.{{i}}.{{p}}', f'{_ATTENTION}.balance_out.{{i}}.{{p}}'),
            (f'{_TAM}.layers2.{{i}}.{{p}}', f'{_ATTENTION}.gather.{{i}}.{{p}}'),
            (f'{_TAM}.encoder{{i}}.{{k}}.{{p}}', f'{_ATTENTION}.down.{{i}}.{{k}}.{{p}}'),
            (f'{_TAM}.decoder{{i}}.{{k}}.{{p}}', f'{_ATTENTION}.up.{{i}}.{{k}}.{{p}}'),
            (f'{_TAM}.layers3.{{t}}.{{i}}.{{p}}', f'{_ATTENTION}.features.{{t}}.{{i}}.{{p}}'),
            (f'{_TAM}.layers4.{{t}}.0.{{p}}', f'{_ATTENTION}.predict.{{t}}.{{p}}'),
        ],
        name='published M3ViT',
    ),
)
