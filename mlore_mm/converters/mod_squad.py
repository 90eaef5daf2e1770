"""Keys of the published Mod-Squad, which numbers the tasks and stores experts as (in, out)."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mlore_mm.converters.published import register_system
from mlore_mm.converters.rename import KeyTable

_ROUTER = re.compile(r'(blocks\.\d+\.(?:attn\.q_proj|mlp)\.)f_gate\.(\w+)\.0\.weight')
_HEAD = re.compile(r'task_heads\.(\w+)\.([01]\..+)')
_EXPERTS = re.compile(r'.*experts\.w')
_USAGE = '.usage.count'


class ModSquadTable(KeyTable):
    """Rows, the places where a number stands for a task, and stacked tensors that are turned.

    The published file does not say which task has which number: it is the order of the model's tasks.

    Args:
        tasks: Names of the tasks in that order; their numbers where it is not given.
    """

    def __init__(self, tasks: Sequence[str] | None = None) -> None:
        super().__init__(ROWS, prefix='', name='published Mod-Squad')
        self.tasks = None if tasks is None else list(tasks)

    def for_tasks(self, tasks: Sequence[str]) -> 'ModSquadTable':
        """The table for these tasks."""
        return ModSquadTable(tasks)

    def to_ours(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Published layout to ours, with a count of zero for the experts' use, which published files have lost."""
        state = dict(state)
        tasks = self.tasks or [str(i) for i in range(state['task_embedding'].shape[1])]
        if state['task_embedding'].shape[1] != len(tasks):
            raise ValueError(
                f'The checkpoint has {state["task_embedding"].shape[1]} tasks, but there are {len(tasks)} of them: '
                f'{tasks}. Published checkpoints number the tasks in the order of the model.'
            )
        left_out = {}
        if not any(re.fullmatch(r'task_heads\.\d+\.0\.weight', key) for key in state):
            left_out = {key: 'no task is of the whole image' for key in state if key.startswith('fc_norm.')}
        named = {}
        for key, value in state.items():
            if key in left_out:
                continue
            if key == 'task_embedding':
                named |= {f'task_embedding.{task}': value[0, i].clone() for i, task in enumerate(tasks)}
            elif match := _ROUTER.fullmatch(key):
                experts = len(state[f'{match[1]}experts.w'])
                start = f'{match[1]}f_gate.'
                weight, *noise = value.split(experts)
                named[f'{start}{tasks[int(match[2])]}.weight'] = weight.t().contiguous()
                named |= {f'{start}{tasks[int(match[2])]}.noise': x.t().contiguous() for x in noise}
                named[f'{start}usage'] = value.new_zeros(len(tasks), experts)
            elif match := _HEAD.fullmatch(key):
                named[f'task_heads.{tasks[int(match[1])]}.{match[2]}'] = value
            else:
                named[key] = value.transpose(1, 2).contiguous() if _EXPERTS.fullmatch(key) else value
        ours, _ = super().to_ours(named)
        return ours, left_out

    def to_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our layout to the published one, without the count of the experts' use."""
        prefix = 'backbone.task_embedding.'
        names = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
        tasks = self.tasks or sorted(names, key=int)
        named = super().to_published({key: x for key, x in state.items() if not key.endswith(_USAGE)})
        published = {'task_embedding': torch.stack([named.pop(f'task_embedding.{task}') for task in tasks])[None]}
        for key, value in named.items():
            if match := re.fullmatch(r'(.*\.f_gate\.)(\w+)\.(weight|noise)', key):
                if match[3] == 'noise':
                    continue
                noise = named.get(f'{match[1]}{match[2]}.noise')
                value = value.t() if noise is None else torch.cat([value.t(), noise.t()])
                published[f'{match[1]}{tasks.index(match[2])}.0.weight'] = value.contiguous()
            elif match := _HEAD.fullmatch(key):
                published[f'task_heads.{tasks.index(match[1])}.{match[2]}'] = value
            else:
                published[key] = value.transpose(1, 2).contiguous() if _EXPERTS.fullmatch(key) else value
        if 'norm.weight' in published and 'fc_norm.weight' not in published:  # which is there, if unused
            published |= {'fc_norm.weight': torch.ones_like(published['norm.weight'])}
            published |= {'fc_norm.bias': torch.zeros_like(published['norm.bias'])}
        return published


_BLOCK, _LAYER = 'blocks.{i}', 'backbone.layers.{i}'
ROWS = [
    ('patch_embed.proj.{p}', 'backbone.patch_embed.projection.{p}'),
    ('cls_token', 'backbone.cls_token'),
    ('pos_embed', 'backbone.pos_embed'),
    ('task_embedding.{t}', 'backbone.task_embedding.{t}'),
    (f'{_BLOCK}.norm1.{{p}}', f'{_LAYER}.ln1.{{p}}'),
    (f'{_BLOCK}.norm2.{{p}}', f'{_LAYER}.ln2.{{p}}'),
    (f'{_BLOCK}.attn.qkv.{{p}}', f'{_LAYER}.attn.qkv.{{p}}'),
    (f'{_BLOCK}.attn.proj.{{p}}', f'{_LAYER}.attn.proj.{{p}}'),
    (f'{_BLOCK}.mlp.fc1.{{p}}', f'{_LAYER}.mlp.layers.0.0.{{p}}'),
    (f'{_BLOCK}.mlp.fc2.{{p}}', f'{_LAYER}.mlp.layers.1.{{p}}'),
    (f'{_BLOCK}.attn.q_proj.experts.w', f'{_LAYER}.attn.mixture.query.weight'),
    (f'{_BLOCK}.attn.q_proj.output_experts.w', f'{_LAYER}.attn.mixture.output.weight'),
    (f'{_BLOCK}.attn.kv_proj.0.{{p}}', f'{_LAYER}.attn.mixture.key_value.{{p}}'),
    (f'{_BLOCK}.mlp.experts.w', f'{_LAYER}.mlp.mixture.fc1.weight'),
    (f'{_BLOCK}.mlp.experts.b', f'{_LAYER}.mlp.mixture.fc1.bias'),
    (f'{_BLOCK}.mlp.output_experts.w', f'{_LAYER}.mlp.mixture.fc2.weight'),
    (f'{_BLOCK}.mlp.output_experts.b', f'{_LAYER}.mlp.mixture.fc2.bias'),
    *(
        (f'{_BLOCK}.{theirs}.f_gate.{ending}', f'{_LAYER}.{ours}{key}')
        for theirs, ours in (('attn.q_proj', 'attn'), ('mlp', 'mlp'))
        for ending, key in (
            ('usage', '.usage.count'),
            ('{t}.weight', '.router.weight.{t}'),
            ('{t}.noise', '.router.noise_weight.{t}'),
        )
    ),
    ('norm.{p}', 'decode_head.norm.{p}'),
    ('fc_norm.{p}', 'decode_head.image_norm.{p}'),
    ('task_heads.{t}.0.{p}', 'decode_head.image_norms.{t}.{p}'),
    ('task_heads.{t}.1.{p}', 'decode_head.predict.{t}.{p}'),
    ('AWL.params', 'criterion.weighting.scales'),
]
MOD_SQUAD = register_system('mod_squad', ModSquadTable())
