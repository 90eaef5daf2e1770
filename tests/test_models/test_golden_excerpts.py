"""DenseMTL, InvPT, TaskPrompter and the sharing networks against the numbers that lie in the repository.

The tests of all numbers are in test_golden_*.py and need the reference data; these run everywhere.
"""

import io
import lzma

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.converters import INVPT, SYSTEMS, TASK_PROMPTER
from mlore_mm.models.backbones.task_prompter_vit import PromptedLayer
from mlore_mm.models.layers import AffinityDecoder, CrossTaskExchange, InvPTStage
from tests.golden_astmt import unpacked
from tests.golden_sharing import Golden, run, upsampled
from tests.shared import REPO

EXACT = dict(rtol=1e-6, atol=1e-6)


def read(name: str) -> dict:
    content = lzma.decompress((REPO / f'tests/data/decoders/{name}.pth.xz').read_bytes())
    return torch.load(io.BytesIO(content), weights_only=True)


def load(module: nn.Module, state: dict, prefix: str) -> nn.Module:
    """The module in float64 and evaluation with the weights below a prefix; every one of them is there."""
    state = {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
    missing, surplus = module.load_state_dict(state, strict=False)
    assert not surplus
    assert all(key.endswith('num_batches_tracked') for key in missing)
    return module.double().eval()


@torch.no_grad()
def test_densemtl_exchange():
    golden = read('densemtl_exchange')
    features = {task: x.double() for task, x in golden['exchange_in'].items()}
    state, _ = SYSTEMS['densemtl'].to_ours(golden['weights'])
    exchange = load(CrossTaskExchange(list(features), 10, stride=4), state, 'decode_head.exchanges.1.')
    wanted = {task: x.double() for task, x in golden['exchange_out'].items()}
    assert_close(exchange(features, list(features)), wanted, **EXACT)


@torch.no_grad()
def test_invpt_stages():
    golden = read('invpt_stages')
    tasks, scores = list(golden['tokens']), None
    state, _ = INVPT.to_ours(golden['weights'])
    tokens = torch.stack([x.double().permute(0, 2, 3, 1) for x in golden['tokens'].values()])
    for i, (width, skip) in enumerate(((None, None), (24, golden['skip'].double()))):
        stage = InvPTStage(tasks, width, 24 // 2**i, num_heads=2, pool=2 ** (i + 1))
        tokens, scores = load(stage, state, f'decode_head.stages.{i}.')(tokens, skip, scores)
        assert_close(scores, golden['scores'][f'stage{i}'].double(), **EXACT)
        for task, x in zip(tasks, tokens.permute(0, 1, 4, 2, 3), strict=True):
            assert_close(x, golden['outputs'][f'stage{i}'][task].double(), **EXACT)


@torch.no_grad()
def test_task_prompter_block_and_level():
    golden = read('task_prompter_parts')
    state, _ = TASK_PROMPTER.to_ours(golden['weights'])
    wanted = {name: {block: x.double() for block, x in golden[name].items()} for name in golden if name != 'weights'}
    tasks = list(wanted['fused_features'])

    layer = PromptedLayer(24, 3, 4, 0.0, prompts=len(tasks), grid=(4, 6), windows=1, update='linear')
    before = torch.cat([wanted['prompts']['block1'], wanted['patch_tokens']['block1']], dim=1)
    tokens, affinities = load(layer, state, 'backbone.layers.1.')(before, affinities=True)
    after = torch.cat([wanted['prompts']['block2'], wanted['patch_tokens']['block2']], dim=1)
    assert_close(tokens, after, **EXACT)
    assert_close(affinities, (wanted['spatial_affinity']['block2'], wanted['channel_affinity']['block2']), **EXACT)

    level = load(AffinityDecoder(tasks, 24, 10, 14, 3, cross_task=True), state, 'decode_head.levels.0.')
    patches = wanted['patch_tokens']['block1'].transpose(1, 2).unflatten(-1, (4, 6))
    spatial, channel = wanted['spatial_affinity']['block1'], wanted['channel_affinity']['block1']
    for index, task in enumerate(tasks):
        assert_close(level.features(patches, spatial, channel, task), wanted['fused_features'][task], **EXACT)
        weights = level.weights(spatial[:, :, index, : len(tasks)], task)
        assert_close(weights, wanted['cross_task_weights'][task], **EXACT)


def test_mtan_with_losses_gradients_and_a_step():
    rows = list(run(Golden('mtan', torch.float64, read('mtan'))))
    assert len(rows) > 100
    assert [row for row in rows if not row[1] <= row[2]] == []


@pytest.mark.parametrize('name', ['cross_stitch', 'nddr_cnn'])
@torch.no_grad()
def test_outputs_of_encoders_in_step(name):
    golden = Golden(name, torch.float64, read(name))
    model, expected = golden.model.eval(), golden.expected
    model.load_state_dict(golden.table.to_ours(unpacked(golden.checkpoint))[0])
    logits = model.decode(expected['input'].double()).logits
    found = {task: upsampled(x, golden.meta['image_size'])[..., ::2, ::2] for task, x in logits.items()}
    assert_close(found, {task: x.double() for task, x in expected['eval_outputs'].items()}, **EXACT)
