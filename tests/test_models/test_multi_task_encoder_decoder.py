"""The joints between encoder, decoder, criterion and decoding."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch.testing import assert_close

import tests.toy_parts  # noqa: F401  registers the toys
from mlore_mm.evaluation.metrics import DepthMetric
from mlore_mm.models import multi_task_encoder_decoder as segmentor
from mlore_mm.models.original_frame import resize_maps
from mlore_mm.registry import MODELS
from mlore_mm.structures import MultiTaskDataSample
from tests.mlore_models import TASKS, build_mlore, make_samples

FCN = dict(type='MultiTaskFCNHead', in_channels=[4], embed_dims=6)

BALANCE = dict(type='LoadBalanceLoss', loss_weight=1.0)


def build(backbone='ToyEncoder', decode_head=FCN, tasks=('semseg', 'depth', 'normals'), criterion=None, **more):
    init_default_scope('mlore_mm')
    backbone = dict(type=backbone) if isinstance(backbone, str) else backbone
    return MODELS.build(
        dict(
            type='MultiTaskEncoderDecoder',
            backbone=backbone,
            decode_head=decode_head,
            tasks={name: TASKS[name] for name in tasks},
            criterion=criterion,
            **more,
        )
    )


@pytest.fixture
def images():
    return torch.randn(2, 3, 16, 24)


def test_task_conditioned_encoder_runs_once_per_task(images):
    model = build('ToyTaskEncoder').eval()
    logits = model(images)
    assert model.backbone.calls == [0, 1, 2]
    model.backbone.calls.clear()
    one = model(images, tasks=['normals'])
    assert model.backbone.calls == [2]
    assert list(one) == ['normals']
    assert torch.equal(one['normals'], logits['normals'])
    model.backbone.calls.clear()
    ordinary = build().eval()
    ordinary.load_state_dict(model.state_dict())
    assert_close(ordinary(images)['semseg'], logits['semseg'])  # task 0 shifts by nothing
    assert (ordinary(images)['depth'] - logits['depth']).abs().max() > 1e-3


def test_neck_sees_the_features_of_every_task(images):
    model = build('ToyTaskEncoder').eval()
    wanted = model.extract_feat(images)
    model.neck = lambda feats: tuple(2 * x for x in feats)
    feats = model.extract_feat(images)
    assert list(feats.per_task) == ['semseg', 'depth', 'normals']
    for name in feats.per_task:
        assert_close(feats.of(name)[0], 2 * wanted.of(name)[0])


def test_auxiliary_group_of_a_task_that_is_not_evaluated(images):
    model = build(
        decode_head=dict(type='ToyAuxiliaryHead', guessed='depth'),
        criterion=dict(type='MultiTaskCriterion', auxiliary_weights=dict(initial=0.5)),
        aux_tasks=['depth'],
    )
    losses = model(images, make_samples(model, images), mode='loss')
    assert set(losses) == {'loss_semseg', 'loss_depth', 'loss_normals', 'loss_initial_depth'}
    sum(losses.values()).backward()
    assert (model.decode_head.guess.weight.grad != 0).any()
    sample = model.eval()(images, make_samples(model, images), mode='predict')[0]
    assert set(sample.pred.keys()) == {'semseg', 'normals'}
    assert 'depth' in model(images, mode='tensor')


def test_routers_anywhere_reach_the_loss_with_and_without_checkpointing(images):
    head = dict(type='MLoREDecodeHead', in_channels=[4], embed_dims=8, ranks=[2, 3, 1], task_rank=2, top_k=2)
    head.update(grid=(4, 6), gate=dict(noise='none'))
    criterion = dict(type='MultiTaskCriterion', auxiliary_losses=dict(load_balance=BALANCE))
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = build(dict(type='ToyRoutedEncoder', with_cp=with_cp), head, criterion=criterion)
        loss = model(images, make_samples(model, images), mode='loss')['loss_load_balance']
        loss.backward()
        routers = model.backbone.router.weight, *(b.router.logits['depth'].weight for b in model.decode_head.stages[0])
        results.append((loss, [weight.grad for weight in routers]))
        assert all((weight.grad != 0).any() for weight in routers)
    assert_close(results[0], results[1])


def test_single_task_losses_add_up(images):
    """Every task alone gives its part of the joint losses; gradients of shared weights add up too."""
    model = build('ToyTaskEncoder')
    samples, weight = make_samples(model, images), model.backbone.conv.weight
    joint = model(images, samples, mode='loss')
    (wanted,) = torch.autograd.grad(sum(joint.values()), weight)
    total = torch.zeros_like(wanted)
    for name in model.tasks:
        alone = model(images, samples, mode='loss', tasks=[name])
        assert list(alone) == [f'loss_{name}']
        assert_close(alone[f'loss_{name}'], joint[f'loss_{name}'])
        total += torch.autograd.grad(alone[f'loss_{name}'], weight)[0]
    assert_close(total, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('tasks', [['normals'], ['depth', 'semseg']])
def test_subset_predictions_equal_the_full_ones(tasks):
    model, images = build_mlore(('semseg', 'normals', 'edge', 'depth')).eval(), torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        full = model(images, mode='predict')
        some = model(images, mode='predict', tasks=tasks)
    for a, b in zip(full, some, strict=True):
        assert set(b.pred.keys()) == set(tasks)
        for name in tasks:
            assert_close(b.pred.get(name), a.pred.get(name), atol=1e-6, rtol=1e-5)


def test_order_of_tasks_is_the_models():
    model = build_mlore(('depth', 'semseg')).eval()
    assert list(model(torch.randn(1, 3, 32, 48), tasks=['semseg', 'depth'])) == ['depth', 'semseg']
    with pytest.raises(ValueError, match=r"Unknown task \['edge'\]: known here are \['depth', 'semseg'\]"):
        model(torch.randn(1, 3, 32, 48), tasks=['edge'])


def test_frozen_encoder_stays_as_it_is(images):
    model = build(frozen_backbone=True).train()
    before = {key: value.clone() for key, value in model.backbone.state_dict().items()}
    sum(model(images, make_samples(model, images), mode='loss').values()).backward()
    assert not model.backbone.training
    assert model.decode_head.training
    assert all(p.grad is None and not p.requires_grad for p in model.backbone.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.backbone.state_dict().items())
    model.eval().train()
    assert not model.backbone.training


def test_predictions_come_back_in_the_frame_of_the_original(images):
    """Padded, mirrored and enlarged versions of an input give the prediction of the input itself."""
    model = build().eval()
    plain = model(images, [MultiTaskDataSample() for _ in images], mode='predict')
    wide = torch.nn.functional.pad(images, (4, 8, 12, 0))
    logits = {name: torch.nn.functional.pad(x, (4, 8, 12, 0), value=7.0) for name, x in model(images).items()}
    model.inference = lambda inputs, tasks, groups: logits
    meta = dict(padding=(4, 8, 12, 0), ori_shape=(16, 24))
    padded = model(wide, [MultiTaskDataSample(metainfo=meta) for _ in images], mode='predict')
    mirrored = {name: model.tasks[name].hflip_values(x, channel_axis=-3).flip(-1) for name, x in logits.items()}
    model.inference = lambda inputs, tasks, groups: mirrored
    meta = dict(padding=(8, 4, 12, 0), ori_shape=(16, 24), flip=True, flip_direction='horizontal')
    flipped = model(wide, [MultiTaskDataSample(metainfo=meta) for _ in images], mode='predict')
    for a, b, c in zip(plain, padded, flipped, strict=True):
        for name in model.tasks:
            assert_close(b.pred.get(name), a.pred.get(name))
            assert_close(c.pred.get(name), a.pred.get(name))
    meta = dict(scale_factor=(2.0, 2.0), ori_shape=(8, 12))
    model.inference = lambda inputs, tasks, groups: {
        name: torch.ones(2, x.shape[1], 16, 24) for name, x in logits.items()
    }
    (enlarged, _) = model(wide, [MultiTaskDataSample(metainfo=meta) for _ in images], mode='predict')
    assert enlarged.pred.depth.shape == (1, 8, 12)
    assert_close(enlarged.pred.depth, torch.full((1, 8, 12), 2.0))  # zooming in brought the scene closer


def test_vertical_flips_cannot_be_undone(images):
    sample = MultiTaskDataSample(metainfo=dict(flip=True, flip_direction='vertical'))
    with pytest.raises(ValueError, match="horizontal flips can be undone, but got 'vertical'"):
        build().eval()(images[:1], [sample], mode='predict')


def test_labels_are_padded_with_what_their_task_ignores():
    model, images = build().eval(), torch.randn(1, 3, 16, 24)
    samples = make_samples(model, images)
    stacked = model._stack_targets('depth', samples, (20, 32))
    assert stacked.shape == (1, 1, 20, 32)
    assert (stacked[..., 16:, :] == 0).all()
    assert (model._stack_targets('semseg', samples, (20, 32))[..., 24:] == 255).all()


def test_missing_label_fields_are_named(images):
    model = build()
    samples = make_samples(build(tasks=('semseg', 'depth')), images)
    with pytest.raises(ValueError, match=r"no label field for task 'normals', only \['depth', 'semseg'\]"):
        model(images, samples, mode='loss')


def test_settings_that_cannot_work():
    with pytest.raises(ValueError, match='got no tasks.*bind_tasks.*tools/test.py calls.*--bound OUT.py'):
        build(tasks=())
    with pytest.raises(ValueError, match="'whole' or 'slide', but got 'tiles'"):
        build(test_cfg=dict(mode='tiles'))
    with pytest.raises(ValueError, match="'loss', 'predict' or 'tensor', but got 'train'"):
        build()(torch.randn(1, 3, 16, 24), mode='train')


def test_auxiliary_tasks_are_not_predicted(images):
    config = dict(decode_head=dict(type='ToyCrossTaskHead'), aux_tasks=['depth'])
    model = build('ToyOwner', **config).eval()
    with pytest.raises(ValueError, match=r"\['depth'\] are auxiliary tasks .* predicts are \['semseg', 'normals'\]"):
        model.predict(images, make_samples(model, images), ['semseg', 'depth'])
    with pytest.raises(ValueError, match=r"\['depth'\] are auxiliary"):
        build(
            'ToyOwner', decode_head=dict(type='ToyCrossTaskHead'), aux_tasks=['depth'], test_cfg=dict(tasks=['depth'])
        )


def test_a_metric_may_look_at_an_auxiliary_group(images):
    """Initial predictions of auxiliary and main tasks, decoded and measured like final ones."""
    model = build(
        'ToyOwner', decode_head=dict(type='ToyCrossTaskHead'), aux_tasks=['depth'], test_cfg=dict(groups=['initial'])
    )
    samples = model.eval()(images, make_samples(model, images), mode='predict')
    assert set(samples[0].pred.keys()) == {'semseg', 'normals'}
    assert set(samples[0].groups.keys()) == {'initial/semseg', 'initial/depth', 'initial/normals'}
    logits = model.decode(images).auxiliary['initial']['depth']
    wanted = F.interpolate(logits, size=images.shape[-2:], mode='bilinear').clamp(min=0)[0]
    assert_close(samples[0].groups.get('initial/depth'), wanted)
    metric = DepthMetric('depth', output='initial')
    metric.dataset_meta = dict(tasks=model.tasks.to_config())
    metric.process(None, [sample.to_dict() for sample in samples])
    errors = torch.stack(
        [(s.groups.get('initial/depth') - s.gt.depth)[s.gt.depth > 0].square().mean() for s in samples]
    )
    assert metric.evaluate(len(samples))['depth.initial/RMSE'] == pytest.approx(errors.mean().sqrt().item(), rel=1e-5)


def test_a_group_that_the_decoder_lacks_is_named(images):
    model = build(test_cfg=dict(groups=['scale_1'])).eval()
    with pytest.raises(ValueError, match="output 'scale_1'"):
        model(images, make_samples(model, images), mode='predict')


def predict_one(model, images, **metainfo):
    return model(images, [MultiTaskDataSample(metainfo=metainfo)], mode='predict')[0].pred


def test_scores_are_resized_before_they_are_activated():
    model, images = build().eval(), torch.randn(1, 3, 16, 24)
    logits, pred = model(images), predict_one(model, images, ori_shape=(23, 31))
    large = {name: F.interpolate(x, (23, 31), mode='bilinear', align_corners=False)[0] for name, x in logits.items()}
    assert_close(pred.normals, large['normals'] / large['normals'].norm(dim=0, keepdim=True))
    assert torch.equal(pred.semseg[0].long(), large['semseg'].argmax(dim=0))


def test_depth_is_rescaled_by_both_factors():
    """An image four times as wide and as high as before: twice as close in the geometric mean."""
    model, images = build(tasks=('depth',)).eval(), torch.zeros(1, 3, 16, 24)
    plain = predict_one(model, images, ori_shape=(16, 6)).depth
    assert plain.abs().max() > 0
    assert_close(predict_one(model, images, ori_shape=(16, 6), scale_factor=(4.0, 1.0)).depth, 2 * plain)
    assert_close(predict_one(model, images, ori_shape=(16, 6), scale_factor=(1.0, 9.0)).depth, 3 * plain)


@pytest.mark.parametrize('size', [(7, 13), (11, 3), (16, 24)])
def test_class_ids_of_odd_sizes_are_never_mixed(size):
    """Ids that are far apart, and larger than 24 bits hold; a mean of two would be a third class."""
    ids = torch.tensor([0, 2**24 + 1]).repeat(1, 1, 5, 5)  # a column of each in turn
    ids = ids[..., :9]
    columns = [int(i * 9 / size[1]) for i in range(size[1])]
    assert torch.equal(resize_maps(ids, size), ids[..., columns][:, :, :1].expand(-1, -1, size[0], -1))


def test_resized_predictions_hold_ids_of_the_network():
    model = build(test_cfg=dict(resize='predictions'), tasks=('semseg',)).eval()
    images = torch.randn(1, 3, 16, 24)
    logits = model(images)['semseg'][0].clone()
    pred = predict_one(model, images, ori_shape=(13, 35)).semseg[0]
    rows, columns = torch.arange(13) * 16 // 13, torch.arange(35) * 24 // 35
    assert torch.equal(pred.long(), logits.argmax(dim=0)[rows][:, columns])


def test_frozen_encoder_is_in_evaluation_mode_from_the_start():
    assert not build(frozen_backbone=True).backbone.training


def test_switch_to_deploy_ends_training():
    model = build_mlore().train()
    model.switch_to_deploy()
    assert not model.training
    assert not model.backbone.training


def test_options_that_do_nothing_are_told(monkeypatch):
    said = []
    monkeypatch.setattr(segmentor, 'print_log', lambda text, *more: said.append(text))
    build(test_cfg=dict(mode='slide', crop_size=(8, 12), stride=(8, 12)))
    build(test_cfg=dict(resize='predictions'))
    assert not said
    build(test_cfg=dict(crop_size=(8, 12), stride=(8, 12)))
    assert 'test_cfg.crop_size and test_cfg.stride belong to' in said[0]
    with pytest.raises(ValueError, match="resize is 'logits' or 'predictions', but got 'maps'"):
        build(test_cfg=dict(resize='maps'))


def test_tasks_to_predict(images):
    model = build(test_cfg=dict(tasks=['normals', 'semseg'])).eval()
    assert model.eval_tasks == ['semseg', 'normals']
    assert set(model.predict(images)[1].pred.keys()) == {'semseg', 'normals'}  # without data samples as well
    assert list(model(images)) == ['semseg', 'depth', 'normals']


def test_logits_are_of_full_precision(images):
    model = build().eval()
    with torch.autocast('cpu', torch.bfloat16):
        assert {x.dtype for x in model(images).values()} == {torch.float32}
    assert {x.dtype for x in model.double()(images.double()).values()} == {torch.float64}


def test_a_frozen_encoder_keeps_no_graph(images):
    assert not build(frozen_backbone=True).extract_feat(images).shared[0].requires_grad
    assert build().extract_feat(images).shared[0].requires_grad


def test_frozen_stages_stay_in_evaluation(images):
    encoder = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)
    head = dict(type='MultiTaskFCNHead', embed_dims=6, in_index=[3])
    model = build(encoder, head, frozen_stages=1)
    assert model.train() is model
    assert (model.backbone.layer1.training, model.backbone.layer2.training) == (False, True)
    model.eval()
    assert not model.backbone.layer2.training


def test_a_neck_stands_between(images):
    encoder = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)
    neck = dict(type='LevelNorm', in_channels=[4, 8, 16, 32])
    head = dict(type='MultiTaskFCNHead', embed_dims=6, in_index=[1, 2])
    model = build(encoder, head, neck=neck).eval()
    assert model.decode_head.in_channels == [8, 16]  # the neck keeps them
    feats = model.extract_feat(torch.randn(1, 3, 64, 64))
    assert len(feats.shared) == 4
    wider = dict(neck, then=dict(type='mmseg.MultiLevelNeck', in_channels=[4, 8, 16, 32], out_channels=5))
    with pytest.raises((ValueError, TypeError), match='in_channels'):
        build(encoder, head, neck=wider)


def test_the_criterion_is_asked_what_it_wants(images):
    """Labels of tasks that are not trained are read only for a loss that looks at them."""
    model = build()
    samples = make_samples(build(tasks=('semseg',)), images)
    assert list(model(images, samples, mode='loss', tasks=['semseg'])) == ['loss_semseg']
    model.criterion._task_extras['semseg'] = ('context',)
    with pytest.raises(ValueError, match="no label field for task 'depth'"):
        model(images, samples, mode='loss', tasks=['semseg'])
