"""The ways in which an encoder is called, through the model."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.encoded_images import EncodedImages
from mlore_mm.models.encoding import build_backbone, call_mode, encode
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from mlore_mm.routing import trace_routing
from mlore_mm.tasks import TaskSet
from tests import toy_parts

TASKS = dict(semseg=dict(type='SemSeg', out_channels=3), depth=dict(type='Depth'), edge=dict(type='Edge'))


def build(backbone: str, head: dict | None = None, **options) -> MultiTaskEncoderDecoder:
    torch.manual_seed(0)
    head = head or dict(type='MultiTaskFCNHead', in_channels=[4], embed_dims=4)
    return MultiTaskEncoderDecoder(dict(type=backbone), head, tasks=TASKS, **options).eval()


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, 16, 16)


def test_a_folded_call_gives_what_separate_calls_give(images):
    folded, separate = build('ToyFoldedEncoder'), build('ToyFoldedEncoder', folded_tasks=False)
    separate.load_state_dict(folded.state_dict())
    a, b = folded(images), separate(images)
    assert folded.backbone.calls == [(0, 1, 2)]
    assert separate.backbone.calls == [0, 1, 2]
    for name in TASKS:
        assert_close(a[name], b[name])


def test_a_folded_call_of_one_task_computes_one(images):
    model = build('ToyFoldedEncoder')
    assert_close(model(images, tasks=['edge'])['edge'], model(images)['edge'])
    assert model.backbone.calls[0] == (2,)


def test_an_owner_gets_the_tasks_from_the_model(images):
    model = build('ToyOwner')
    assert set(model.backbone.prompts) == set(TASKS)
    feats = model.extract_feat(images, ['depth'])
    assert list(feats.per_task) == ['depth']
    assert list(feats.extras['prompts']) == ['depth']
    assert_close(model(images, tasks=['depth'])['depth'], model(images)['depth'])


@pytest.mark.parametrize('backbone', ['ToyTaskEncoder', 'ToyFoldedEncoder', 'ToyOwner'])
def test_a_cross_task_decoder_gets_the_features_of_all_tasks_when_asked_for_one(backbone, images):
    model = build(backbone, dict(type='ToyCrossTaskHead'))
    assert_close(model(images, tasks=['depth'])['depth'], model(images)['depth'])


def test_auxiliary_tasks_are_supervised_and_not_predicted(images):
    model = build('ToyOwner', dict(type='ToyCrossTaskHead'), aux_tasks=['edge'])
    assert model.decode_head.main_tasks == ['semseg', 'depth']
    assert list(model.decode_head.final) == ['semseg', 'depth']
    assert list(model(images)) == ['semseg', 'depth']
    assert list(model.train().decode(images).auxiliary['initial']) == list(TASKS)


def test_an_unknown_way_of_being_called_is_named(monkeypatch):
    monkeypatch.setattr(toy_parts.ToyEncoder, 'call_mode', 'twice', raising=False)
    with pytest.raises(ValueError, match="ToyEncoder.call_mode is one of .* but is 'twice'"):
        build('ToyEncoder')


@pytest.mark.parametrize('folded', [True, False])
@pytest.mark.parametrize('names', [['semseg', 'depth', 'edge'], ['edge']])
def test_records_of_an_encoder_that_runs_per_task_carry_the_names(folded, names, images):
    model = build('ToyTokenRouter', folded_tasks=folded)
    with trace_routing() as trace:
        feats = model.extract_feat(images, names)
    assert [record.task for record in trace.records] == names
    for record in trace.records:
        assert record.per_token
        wanted = feats.of(record.task)[0].flatten(2).transpose(1, 2).softmax(dim=-1)
        assert_close(record.probabilities, wanted)


def test_settings_that_a_backbone_of_others_does_not_take_are_named():
    with pytest.raises(ValueError, match=r"model.backbone cannot be built from .*'depth': 19.*invalid depth 19"):
        MultiTaskEncoderDecoder(dict(type='mmseg.ResNet', depth=19), dict(type='MultiTaskFCNHead'), tasks=TASKS)


def test_stored_features_are_taken_as_they_are(images):
    model = build('ToyEncoder')
    feats = model.extract_feat(images)
    stored = EncodedImages(feats, images.shape)
    assert encode(model.backbone, stored, ['depth'], list(TASKS), folded=True) is feats


def test_how_an_encoder_wants_to_be_called():
    assert [call_mode(build(name).backbone) for name in ('ToyEncoder', 'ToyTaskEncoder', 'ToyOwner')] == [
        'once',
        'per_task',
        'owner',
    ]
    encoder = toy_parts.ToyTaskEncoder()
    encoder.call_mode = 'once'  # comes before the older name
    assert call_mode(encoder) == 'once'


def test_a_config_is_left_as_it_is():
    config = dict(type='ToyOwner')
    build_backbone(config, TaskSet(TASKS))
    assert config == dict(type='ToyOwner')
    with pytest.raises(ValueError, match='model.backbone cannot be built from .*width'):
        build_backbone(dict(type='ToyEncoder', width=3), TaskSet(TASKS))
