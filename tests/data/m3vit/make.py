"""Cuts the essential numbers out of the reference data; run in this folder with the path of golden/m3vit."""

import io
import lzma
import sys
from pathlib import Path

import torch

SOURCE, HERE, NAME = Path(sys.argv[1]), Path(__file__).parent, 'three_tam_dense'



def save(content: dict, name: str) -> None:
    """Compressed, since a file of many small tensors is mostly padding."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    (HERE / f'{name}.xz').write_bytes(lzma.compress(buffer.getvalue()))


expected = torch.load(SOURCE / f'{NAME}_expected.pth', weights_only=True)
for key in ('eval_tokens', 'train_outputs', 'grads', 'bn_after_step', 'eval_outputs_after_step', 'corrected_load'):
    expected[key] = {}
for key in ('moe_io', 'all_ignored_published', 'no_grad_parameters'):
    expected.pop(key)
for passes in (expected['train_routing'], expected['eval_routing'], expected['eval_routing_after_step']):
    for values in passes.values():
        values.pop('probs', None)
expected['eval_outputs'] = {task: x.half() for task, x in expected['eval_outputs'].items() if task == 'sal'}
expected['targets'] = {
    task: x.to(torch.uint8) if torch.equal(x, x.to(torch.uint8).to(x.dtype)) else x
    for task, x in expected['targets'].items()
}
save(expected, f'{NAME}_expected.pth')
save(torch.load(SOURCE / f'{NAME}_checkpoint.pth', weights_only=True), f'{NAME}_checkpoint.pth')
(HERE / f'{NAME}_meta.json').write_bytes((SOURCE / f'{NAME}_meta.json').read_bytes())

# One mixture of a model that chooses experts and is told the task: weights, what goes in, what comes out.
state = torch.load(SOURCE / 'conditioned_checkpoint.pth', weights_only=True)['state_dict']
numbers = torch.load(SOURCE / 'conditioned_expected.pth', weights_only=True)
weights = {k: x for k, x in state.items() if '.blocks.1.mlp.' in k or 'gate_task_represent' in k or k.endswith('.norm.weight')}
layer = dict(io={}, routing={})
for task in ('semseg', 'depth'):
    layer['io'][task] = numbers['moe_io'][f'layer1.{task}']
    layer['routing'][task] = numbers['eval_routing'][f'layer1.{task}']
save(dict(weights=weights, **layer), 'conditioned_layer1.pth')
