"""Key by key between the published MLoRE checkpoints and ours.

The mapping works on any dict of tensors that is keyed like a state dict, so gradients and optimizer statistics can be
compared across the two layouts as well as weights.
"""

import re
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from mlore_mm.converters.rename import KeyTable
from mlore_mm.utils.unwrap import bare_name

# Official pattern and ours, see `KeyTable`.
_RENAMED = (
    ('backbone.pos_embed', 'backbone.pos_embed'),
    ('backbone.patch_embed.proj.{p}', 'backbone.patch_embed.projection.{p}'),
    ('backbone.blocks.{i}.norm1.{p}', 'backbone.layers.{i}.ln1.{p}'),
    ('backbone.blocks.{i}.norm2.{p}', 'backbone.layers.{i}.ln2.{p}'),
    ('backbone.blocks.{i}.attn.qkv.{p}', 'backbone.layers.{i}.attn.attn.in_proj_{p}'),
    ('backbone.blocks.{i}.attn.proj.{p}', 'backbone.layers.{i}.attn.attn.out_proj.{p}'),
    ('backbone.blocks.{i}.mlp.fc1.{p}', 'backbone.layers.{i}.ffn.layers.0.0.{p}'),
    ('backbone.blocks.{i}.mlp.fc2.{p}', 'backbone.layers.{i}.ffn.layers.1.{p}'),
    ('backbone.norm.{p}', 'backbone.ln1.{p}'),
    ('backbone.fea_fuse.{i}.{p}', 'decode_head.project.{i}.{p}'),
    ('backbone.task_mask.{t}.0.{p}', 'decode_head.fusion.squeeze.{t}.{p}'),
    ('backbone.task_mask.{t}.1.{p}', 'decode_head.fusion.norm.{t}.{p}'),
    ('backbone.task_mask.{t}.3.{p}', 'decode_head.fusion.score.{t}.{p}'),
    ('heads.{t}.mt_proj.0.{p}', 'decode_head.heads.{t}.conv.{p}'),
    ('heads.{t}.mt_proj.1.{p}', 'decode_head.heads.{t}.norm.{p}'),
    ('heads.{t}.linear_pred.{p}', 'decode_head.heads.{t}.predict.{p}'),
    *(
        (f'backbone.MLoRE_{block + 1}.{{i}}.{official}.{{p}}', f'decode_head.stages.{{i}}.{block}.{ours}.{{p}}')
        for block in (0, 1)
        for official, ours in (
            ('conv1.{t}', 'conv_in.{t}'),
            ('conv2.{t}.W', 'task_expert.{t}.reduce'),
            ('conv2.{t}.M', 'task_expert.{t}.expand'),
            ('conv3.{t}', 'conv_out.{t}'),
            ('share_conv', 'generic_conv'),
            ('bn_all.{t}', 'norm_experts.{t}'),
            ('bn.{t}', 'norm.{t}'),
            ('router_1.{t}.0.conv1', 'router.channel_in.{t}'),
            ('router_1.{t}.0.ln', 'router.channel_norm.{t}'),
            ('router_1.{t}.0.conv3', 'router.channel_out.{t}'),
            ('router_1.{t}.0.convsp', 'router.pixel_weight.{t}'),
            ('router_1.{t}.0.ln_sp', 'router.pixel_norm.{t}'),
            ('router_1.{t}.0.conv2', 'router.pixel_out.{t}'),
            ('router_1.{t}.1', 'router.logits.{t}'),
        )
    ),
)
_OFFICIAL_EXPERT = re.compile(r'backbone\.MLoRE_([12])\.(\d+)\.lora_list_1\.(\d+)\.([WM])\.(weight|bias)')
_OUR_BANK = re.compile(r'decode_head\.stages\.(\d+)\.([01])\.experts\.(reduce\.weight|reduce\.bias|expand|expand_bias)')
# Parts that a released file holds and the published model never uses.
UNUSED = {
    r'aux_heads\.': 'a second set of heads that the published model does not call',
    r'(backbone\.)?q_fuse\.': 'a fusion of queries that the published forward pass leaves out',
    r'(backbone\.)?classify_route_\w*': 'a classifier of routes that the published forward pass leaves out',
}


_TABLE = KeyTable(_RENAMED, UNUSED, name='published MLoRE')


def official_to_mm(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Published layout to ours.

    Args:
        state: Tensors by published key, with or without the leading ``module.``.

    Returns:
        Tensors by our key, and the keys left out with the reason.

    Raises:
        ValueError: A key that is neither known nor known to be unused.
    """
    plain, experts = {}, defaultdict(dict)
    for key, tensor in state.items():
        if match := _OFFICIAL_EXPERT.fullmatch(bare_name(key)):
            block, stage, index, part, parameter = match.groups()
            experts[int(stage), int(block) - 1][int(index), part, parameter] = tensor
        else:
            plain[key] = tensor
    ours, left_out = _TABLE.to_ours(plain)
    for (stage, block), parts in experts.items():
        prefix = f'decode_head.stages.{stage}.{block}.experts.'
        ours.update({prefix + name: tensor for name, tensor in _join_experts(parts, prefix).items()})
    return ours, left_out


def _join_experts(parts: dict, prefix: str) -> dict[str, Tensor]:
    count = len(parts) // 4
    wanted = {(i, part, p) for i in range(count) for part in 'WM' for p in ('weight', 'bias')}
    if set(parts) != wanted:
        raise ValueError(f'The experts of {prefix[:-1]} are incomplete: missing {sorted(wanted - set(parts))[:5]}.')
    return {
        'reduce.weight': torch.cat([parts[i, 'W', 'weight'] for i in range(count)]),
        'reduce.bias': torch.cat([parts[i, 'W', 'bias'] for i in range(count)]),
        'expand': torch.cat([parts[i, 'M', 'weight'].flatten(1) for i in range(count)], dim=1),
        'expand_bias': torch.stack([parts[i, 'M', 'bias'] for i in range(count)]),
    }


def mm_to_official(state: Mapping[str, Tensor], ranks) -> dict[str, Tensor]:
    """Our layout to the published one; the exact inverse of :func:`official_to_mm`.

    Args:
        state: Tensors by our key.
        ranks: Rank of each expert, which our stacked tensors do not tell apart.

    Raises:
        ValueError: A key without a counterpart in the published layout.
    """
    banks = {key: match for key in state if (match := _OUR_BANK.fullmatch(key))}
    official = _TABLE.to_published({key: tensor for key, tensor in state.items() if key not in banks})
    for key, match in banks.items():
        official.update(_split_experts(match, state[key], ranks))
    return official


def _split_experts(match: re.Match, tensor: Tensor, ranks) -> dict[str, Tensor]:
    stage, block, name = match.groups()
    part, parameter = ('W' if name.startswith('reduce') else 'M'), ('bias' if name.endswith('bias') else 'weight')
    if name == 'expand':
        pieces = [piece[..., None, None].contiguous() for piece in tensor.split(list(ranks), dim=1)]
    elif name == 'expand_bias':
        pieces = list(tensor)
    else:
        pieces = tensor.split(list(ranks))
    prefix = f'module.backbone.MLoRE_{int(block) + 1}.{stage}.lora_list_1.'
    return {f'{prefix}{i}.{part}.{parameter}': piece.clone() for i, piece in enumerate(pieces)}
