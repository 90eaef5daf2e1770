"""Cuts the essential numbers out of the reference data; run in this folder with the path of the folder golden."""

import io
import json
import lzma
import re
import sys
from pathlib import Path

import torch

GOLDEN, HERE = Path(sys.argv[1]), Path(__file__).parent


def read(name: str) -> dict:
    return torch.load(GOLDEN / f'{name}.pth', weights_only=True)


def save(content: dict, name: str) -> None:
    """Compressed, since a file of many small tensors is mostly padding."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    (HERE / f'{name}.pth.xz').write_bytes(lzma.compress(buffer.getvalue()))


def chosen(state: dict, pattern: str) -> dict:
    return {key: x for key, x in state.items() if re.match(pattern, key) and x.is_floating_point()}


def first_image(tree):
    return tree[:1].clone() if torch.is_tensor(tree) else {key: first_image(x) for key, x in tree.items()}


# The exchange of three tasks: six pairs.
inside = read('densemtl/outdoor_sdn_expected')['eval_intermediates']
weights = chosen(read('densemtl/outdoor_sdn_checkpoint'), r'm\.')
save(dict(weights=weights, **{k: first_image(inside[k]) for k in ('exchange_in', 'exchange_out')}), 'densemtl_exchange')

# The first two stages: attention across tasks, and messages from stage to stage.
inside = read('invpt_taskprompter/invpt/pascal_tiny_expected')['eval_intermediates']
weights = chosen(
    read('invpt_taskprompter/invpt/pascal_tiny_checkpoint')['model'],
    r'module\.multi_task_decoder\.(invpt\.invpt_stages\.[01]\.|intermediate_head\.)',
)
parts = dict(
    tokens=inside['mixed_tokens'],
    skip=inside['skips']['stage1'],
    scores={s: inside['attention_scores'][s] for s in ('stage0', 'stage1')},
    outputs={s: inside['stage_outputs'][s] for s in ('stage0', 'stage1')},
)
save(dict(weights=weights, **first_image(parts)), 'invpt_stages')

# The second block of the encoder, and the first level of the decoder.
inside = read('invpt_taskprompter/taskprompter/pascal_tiny_expected')['eval_intermediates']
weights = chosen(
    read('invpt_taskprompter/taskprompter/pascal_tiny_checkpoint')['model'],
    # Of the last block and the positions the table wants to know.
    r'module\.backbone\.(pos_embed|blocks\.(1\.|4\.attn\.token_trans\.weight)|fea_\w+\.0\.|ctr_attn_conv\.0\.)',
)
blocks = {k: {b: inside[k][b] for b in ('block1', 'block2')} for k in (
    'prompts', 'patch_tokens', 'spatial_affinity', 'channel_affinity'
)}
level = {name: {k.split('/')[1]: x for k, x in inside[name].items() if k.startswith('level0/')} for name in (
    'fused_features', 'cross_task_weights'
)}
save(dict(weights=weights, **blocks, **level), 'task_prompter_parts')

# All of MTAN but its maps; of the others weights and one image.
for name in ('mtan', 'cross_stitch', 'nddr_cnn'):
    checkpoint, expected = read(f'padnet_mtinet/{name}_checkpoint'), read(f'padnet_mtinet/{name}_expected')
    meta = json.loads((GOLDEN / f'padnet_mtinet/{name}_meta.json').read_text())
    weights = {key: x for key, x in checkpoint.items() if x.is_floating_point()}
    packed = dict(flat=torch.cat([x.flatten() for x in weights.values()]), shapes={k: tuple(x.shape) for k, x in weights.items()})
    assert packed['flat'].dtype == torch.float16
    if name == 'mtan':
        for key in ('eval_outputs', 'train_outputs', 'grads', 'after_step_eval_outputs'):
            expected[key] = {}
        expected = {k: x for k, x in expected.items() if k not in ('modules_eval', 'initial_values')}
    else:
        outputs = {task: x[:1, :, ::2, ::2].clone() for task, x in expected['eval_outputs'].items()}
        expected = dict(input=expected['input'][:1].clone(), eval_outputs=outputs)
    save(dict(meta=meta, checkpoint=packed, expected=expected), name)
