"""Keys of the published TaskPrompter (the variant on a plain ViT)."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mlore_mm.converters.plain_vit import vit_rows
from mlore_mm.converters.published import register_system
from mlore_mm.converters.rename import KeyTable, Value

_LEVEL = 'decode_head.levels.{i}'
_ROWS = [
    ('backbone.task_prompts', 'backbone.prompts'),
    ('backbone.blocks.{i}.attn.token_trans.{p}', 'backbone.layers.{i}.to_pixels.{p}'),
    ('backbone.blocks.{i}.attn.token_trans1.{p}', 'backbone.layers.{i}.from_pixels.{p}'),
    ('backbone.fea_decode_spa.{i}.{t}.0.{p}', f'{_LEVEL}.spatial.{{t}}.{{p}}'),
    ('backbone.fea_decode_chan.{i}.{t}.0.{p}', f'{_LEVEL}.channel.{{t}}.{{p}}'),
    ('backbone.fea_fuse.{i}.{t}.{rest}', f'{_LEVEL}.fuse.{{t}}.{{rest}}'),
    ('backbone.ctr_attn_conv.{i}.{t}.{rest}', f'{_LEVEL}.reweight.{{t}}.{{rest}}'),
    ('heads.{t}.mt_proj.0.{p}', 'decode_head.heads.{t}.conv.{p}'),
    ('heads.{t}.mt_proj.1.{p}', 'decode_head.heads.{t}.norm.{p}'),
    ('heads.{t}.linear_pred.{p}', 'decode_head.heads.{t}.predict.{p}'),
    *vit_rows(),
]
_POSITIONS = 'backbone.pos_embed'
_PUBLISHED_MAP = re.compile(r'(?:module\.)?backbone\.blocks\.(\d+)\.attn\.token_trans\.weight')
_OUR_MAP = re.compile(r'backbone\.layers\.(\d+)\.to_pixels\.weight')


class TaskPrompterKeys:
    """The table of TaskPrompter; what reaches no output is dropped and comes back as zeros.

    That is the last block's map from pixels to prompts, and the class position, of which the published model has one
    without a class token.
    """

    def to_ours(self, state: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, str]]:
        """See :meth:`KeyTable.to_ours`."""
        last = max((int(m[1]) for key in state if (m := _PUBLISHED_MAP.fullmatch(key))), default=-1)
        unused = {rf'backbone\.blocks\.{last}\.attn\.token_trans1\.': 'no later block reads the prompts'}
        ours, left_out = KeyTable(_ROWS, unused, name='published TaskPrompter').to_ours(state)
        pixels = _pixels(ours)
        if pixels is not None and ours[_POSITIONS].shape[1] == 1 + pixels:
            ours[_POSITIONS] = ours[_POSITIONS][:, 1:]
        return ours, left_out

    def to_published(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """See :meth:`KeyTable.to_published`."""
        published = KeyTable(_ROWS, name='published TaskPrompter').to_published(state)
        pixels = _pixels(state)
        if pixels is not None:
            positions = state[_POSITIONS]
            published[f'module.{_POSITIONS}'] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
            last = max(int(m[1]) for key in state if (m := _OUR_MAP.fullmatch(key)))
            prefix = f'module.backbone.blocks.{last}.attn.token_trans1'
            published[f'{prefix}.weight'] = positions.new_zeros(positions.shape[2], pixels)
            published[f'{prefix}.bias'] = positions.new_zeros(positions.shape[2])
        return published


def _pixels(ours: Mapping[str, Value]) -> int | None:
    """Number of patches, where the values are tensors."""
    maps = next((value for key, value in ours.items() if _OUR_MAP.fullmatch(key)), None)
    return len(maps) if isinstance(maps, Tensor) else None


TASK_PROMPTER = register_system('task_prompter', TaskPrompterKeys())
