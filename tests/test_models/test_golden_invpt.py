"""InvPT, number for number; what needs no reference data is in test_invpt_head.py."""

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
    return load_golden('invpt', request.param)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
def test_outputs_losses_gradients_and_a_step(golden, dtype):
    model = golden.model(dtype)
    rows = [*evaluation_rows(golden, model), *training_rows(golden, model)]
    assert len(rows) > 150
    assert wrong(rows) == []


def test_intermediates(golden):
    model, images = golden.model().eval(), golden.expected['input'].double()
    head = model.decode_head
    modules = {
        'skips.stage1': head.skips[0],
        'skips.stage2': head.skips[1],
        **{f'attention_scores.stage{s}': stage for s, stage in enumerate(head.stages)},
        **{f'preliminary_features.{t}': head.preliminary[t] for t in head.tasks},
        **{f'intermediate_predictions.{t}': head.intermediate[t] for t in head.tasks},
        **{f'mixed_tokens.{t}': head.mix[t] for t in head.tasks},
        **{f'task_features.{t}': norm for t, norm in head.fusion.norm.items()},
        'backbone_features': model.backbone,
    }
    with torch.no_grad():
        found = {name: outputs[0] for name, outputs in record(model, modules, lambda: model(images)).items()}
    levels = [x.flatten(2).transpose(1, 2) for x in found.pop('backbone_features')]
    found.update({f'backbone_features.{i}': x for i, x in zip((0, 1, 3), levels, strict=True)})
    for s in range(3):
        tokens, found[f'attention_scores.stage{s}'] = found[f'attention_scores.stage{s}']
        maps = tokens.permute(0, 1, 4, 2, 3)
        found.update({f'stage_outputs.stage{s}.{t}': maps[i] for i, t in enumerate(head.tasks)})
    for task in head.tasks:
        found[f'task_features.{task}'] = found[f'task_features.{task}'].relu()

    expected = flat(golden.expected['eval_intermediates'])
    expected.pop('backbone_features.2')  # nothing needs it
    assert {name: x for name in expected if (x := deviation({name: found[name]}, {name: expected[name]})) > FP64} == {}
    digests = flat(golden.expected['digests']['eval_intermediates'])
    digests.pop('backbone_features.2')
    assert set(digests) == set(found)
    assert {name: x for name, wanted in digests.items() if (x := digest_deviation(found[name], wanted)) > FP64} == {}


def test_auxiliary_predictions_in_training(golden):
    model, images = golden.model().train(), golden.expected['input'].double()
    with torch.no_grad():
        found = model.decode(images).auxiliary['intermediate']
    assert deviation(found, golden.expected['train_intermediate_predictions']) < FP64


def test_keys_there_and_back(golden):
    ours, left_out = golden.keys.to_ours(golden.published)
    assert set(left_out) == {f'module.{name}' for name in golden.expected['no_grad_params']}
    assert sum(x.numel() for x in golden.model().parameters()) == golden.meta['parameters'] - sum(
        golden.published[name].numel() for name in left_out
    )
    back = golden.keys.to_published(ours)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in golden.published.items()}
    for name, value in golden.published.items():
        assert torch.equal(back[name], torch.zeros_like(value) if name in left_out else value), name
