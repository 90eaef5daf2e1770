"""TaskPrompter, number for number; what needs no reference data is in test_task_prompter_head.py."""

import pytest
import torch

from tests.golden_prismformore import (
    FP64,
    NAMES,
    deviation,
    digest_deviation,
    evaluation_rows,
    flat,
    load_golden,
    record,
    training_rows,
    wrong,
)


@pytest.fixture(params=NAMES)
def golden(request):
    return load_golden('taskprompter', request.param)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
def test_outputs_losses_gradients_and_a_step(golden, dtype):
    model = golden.model(dtype)
    rows = [*evaluation_rows(golden, model), *training_rows(golden, model)]
    assert len(rows) > 150
    assert wrong(rows) == []


def test_intermediates(golden):
    model, images = golden.model().eval(), golden.expected['input'].double()
    head, tasks = model.decode_head, list(model.tasks)
    modules = {f'layer{i}': layer for i, layer in enumerate(model.backbone.layers)}
    for i, level in enumerate(head.levels):
        modules.update({f'fused_features.level{i}/{t}': level.fuse[t] for t in tasks})
        if level.reweight is not None:
            modules.update({f'cross_task_weights.level{i}/{t}': level.reweight[t] for t in tasks})
    inputs = {}
    for task in tasks:
        head.heads[task].register_forward_pre_hook(lambda m, args, task=task: inputs.update({task: args[0]}))
    with torch.no_grad():
        outputs = {k: v[0] for k, v in record(model, modules, lambda: model(images)).items()}
    found = {}
    for i in range(len(model.backbone.layers)):
        tokens, affinities = outputs.pop(f'layer{i}')
        found[f'prompts.block{i + 1}'] = tokens[:, : len(tasks)]
        if affinities is not None:
            found[f'patch_tokens.block{i + 1}'] = tokens[:, len(tasks) :]
            found[f'spatial_affinity.block{i + 1}'], found[f'channel_affinity.block{i + 1}'] = affinities
    found.update({k: v[:, 0, :, 0] if k.startswith('cross') else v for k, v in outputs.items()})
    enlarge = torch.nn.Upsample(scale_factor=4, mode='bilinear')
    found.update({f'task_features.{t}': enlarge(x) for t, x in inputs.items()})

    last = f'prompts.block{golden.meta["depth"]}'  # published with a layer that reaches no output and is not there
    expected, digests = (
        {k: v for k, v in flat(tree).items() if k != last}
        for tree in (golden.expected['eval_intermediates'], golden.expected['digests']['eval_intermediates'])
    )
    del found[last]
    assert set(digests) == set(found)
    assert {k: x for k in expected if (x := deviation({k: found[k]}, {k: expected[k]})) > FP64} == {}
    assert {k: x for k, wanted in digests.items() if (x := digest_deviation(found[k], wanted)) > FP64} == {}


def test_keys_there_and_back(golden):
    ours, left_out = golden.keys.to_ours(golden.published)
    assert set(left_out) == {f'module.{name}' for name in golden.never_created}
    dropped = sum(golden.published[name].numel() for name in left_out) + golden.meta['embed_dims']
    assert sum(x.numel() for x in golden.model().parameters()) == golden.meta['parameters'] - dropped
    back = golden.keys.to_published(ours)
    assert set(back) == set(golden.published)
    for name, value in golden.published.items():
        wanted = torch.zeros_like(value) if name in left_out else value.clone()
        if name.endswith('pos_embed'):
            wanted[:, 0] = 0
        assert torch.equal(back[name], wanted), name
