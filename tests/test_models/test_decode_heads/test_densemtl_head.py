"""The heads of DenseMTL, PAD-Net+ and DeepLab: what a subset of the tasks costs and gives, sizes, errors."""

import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.features import Features
from mlore_mm.models.layers import section_decoder
from mlore_mm.models.layers.section_decoder import reflection_pad
from mlore_mm.registry import MODELS

TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=5),
    depth=dict(type='InverseDepth'),
    normals=dict(type='SurfaceNormals'),
    edge=dict(type='Edge', out_channels=2),
)
CHANNELS, WIDTHS, STRIDES = [6, 8, 10, 12, 16], [4, 6, 8, 8, 10], [2, 4, 8, 16, 16]


def build(kind='DenseMTLHead', tasks=TASKS, **options):
    torch.manual_seed(0)
    head = MODELS.build(
        dict(type=kind, tasks=tasks, in_channels=CHANNELS, channels=WIDTHS, dilations=(1, 2), dropout=0.0, **options)
    )
    for name, parameter in head.named_parameters():
        if name.endswith('alpha'):
            parameter.data.uniform_(0.5, 1)
    return head.eval()


def levels(h=32, w=48):
    torch.manual_seed(1)
    return tuple(torch.randn(2, c, -(-h // s), -(-w // s)) for c, s in zip(CHANNELS, STRIDES, strict=True))


HEADS = [
    ('DenseMTLHead', {}),
    ('DenseMTLHead', dict(exchange={3: 1, 1: 4}, side_scales=(1, 3))),
    ('DenseMTLHead', dict(exchange={0: dict(stride=8, combine='concat')})),
    ('PADNetPlusHead', {}),
]


@pytest.mark.parametrize(('kind', 'options'), HEADS)
@pytest.mark.parametrize('tasks', [['depth'], ['edge', 'semseg']])
def test_a_subset_gives_the_numbers_of_all_tasks(kind, options, tasks):
    head, feats = build(kind, **options), levels()
    full, part = head(feats).logits, head(feats, tasks).logits
    assert set(part) == set(tasks)
    for task in tasks:
        assert torch.equal(part[task], full[task])


def test_a_subset_computes_no_more_than_it_needs():
    """Scale 0, the pairs into other tasks and their predictions are spared; the decoders down to scale 1 are not."""
    head, called = build(), set()
    for name, module in head.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    head(levels(), ['depth'])
    pairs = {f'exchanges.1.pairs.depth.{source}' for source in TASKS if source != 'depth'}
    assert {name for name in called if name.startswith('exchanges.1.pairs.') and name.count('.') == 4} == pairs
    assert {name for name in called if name.endswith('enter.0')} == {'decoders.depth.enter.0'}
    assert {name for name in called if name.endswith('leave.1')} == {f'decoders.{task}.leave.1' for task in TASKS}
    assert {name for name in called if name.startswith('predict.') and name[-1].isdigit()} == {'predict.depth.0'}


def test_every_task_needs_the_features_of_all():
    assert build().required_tasks(['depth']) == list(TASKS)


@pytest.mark.parametrize('size', [(32, 48), (16, 16), (45, 70)])
def test_sizes(size):
    out = build()(levels(*size)).logits
    rows, columns = (2 * -(-side // 2) for side in size)
    assert {name: tuple(x.shape) for name, x in out.items()} == {
        name: (2, dict(semseg=5, depth=1, normals=3, edge=2)[name], rows, columns) for name in TASKS
    }


def test_features_of_single_tasks():
    head, feats = build(), levels()
    same = head(Features(per_task=dict.fromkeys(TASKS, feats))).logits
    assert_close(same, head(feats).logits)


def test_groups_are_predicted_in_training_and_where_a_metric_looks():
    head, feats = build(side_scales=(1, 2)), levels()
    assert head(feats).auxiliary == {}
    head.evaluated_groups = frozenset({'scale_2'})
    assert list(head(feats).auxiliary) == ['scale_2']
    groups = head.train()(feats).auxiliary
    assert {name: tuple(group['depth'].shape[-2:]) for name, group in groups.items()} == {
        'scale_1': (16, 24),
        'scale_2': (8, 12),
    }


def test_the_side_prediction_is_made_before_the_exchange():
    """It does not depend on the other tasks; the final one does."""
    head, feats = build(), levels()
    head.evaluated_groups = frozenset({'scale_1'})
    before = head(feats)
    head.decoders['edge'].leave[1].conv.bias.data += 1
    after = head(feats)
    assert torch.equal(before.auxiliary['scale_1']['depth'], after.auxiliary['scale_1']['depth'])
    assert not torch.allclose(before.logits['depth'], after.logits['depth'])


def test_one_task_has_no_exchange():
    head = build(tasks=dict(depth=TASKS['depth']))
    assert not head.exchanges
    assert head(levels()).logits['depth'].shape == (2, 1, 32, 48)


def test_wrong_scales_are_named():
    with pytest.raises(ValueError, match='one width per level'):
        MODELS.build(dict(type='DenseMTLHead', tasks=TASKS, in_channels=CHANNELS, channels=[8, 8]))
    with pytest.raises(ValueError, match=r'side_scales=\[5\]'):
        build(side_scales=(5,))


def test_deeplab_reads_the_coarsest_level():
    head = MODELS.build(dict(type='DeepLabHead', in_channels=16, out_channels=3, channels=8, dilations=(1, 2)))
    assert head.eval()(levels()).shape == (2, 3, 2, 3)


def test_maps_of_half_the_size_stay_small(monkeypatch):
    """Strides 2, 4, 8, 16, 16: four of the five scales double their map, one only joins two of a size."""
    calls = []
    doubled = section_decoder.doubled_conv3x3
    monkeypatch.setattr(section_decoder, 'doubled_conv3x3', lambda *args: calls.append(1) or doubled(*args))
    build(tasks=dict(depth=TASKS['depth']))(levels())
    assert len(calls) == 4


def test_borders_are_mirrored_where_there_is_something_to_mirror():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert torch.equal(reflection_pad(x), torch.nn.functional.pad(x, (1, 1, 1, 1), mode='reflect'))
    assert reflection_pad(x[..., :1, :]).tolist() == [[[[1, 0, 1, 2, 1]] * 3]]
    assert reflection_pad(x[..., :1]).flatten().tolist() == [3, 3, 3, 0, 0, 0, 3, 3, 3, 0, 0, 0]


@pytest.mark.parametrize('options', [dict(side_scales=(0,)), dict(exchange={5: 4}), dict(side_scales=(-1,))], ids=str)
def test_scales_that_there_are_not(options):
    with pytest.raises(ValueError, match='has the scales 0 to 4, of which all but 0 may be side_scales'):
        build(**options)


def test_where_the_exchanges_are_by_default():
    """DenseMTL: after scale 1, with attention on every fourth row and column; PAD-Net+: after scale 2."""
    head = build()
    assert list(head.exchanges) == ['1']
    assert head.exchanges['1'].pairs['depth']['edge'].stride == 4
    assert head.auxiliary_groups == ('scale_1',)
    plus = build('PADNetPlusHead')
    assert (list(plus.exchanges), plus.auxiliary_groups) == (['2'], ('scale_2',))
    assert build('PADNetPlusHead', exchange=(1, 3), side_scales=(3, 1, 1)).auxiliary_groups == ('scale_1', 'scale_3')


def test_dropout_of_the_pyramid():
    head = MODELS.build(dict(type='DeepLabHead', in_channels=16, out_channels=3, channels=8, dropout=1.0))
    features = []
    head.aspp.register_forward_hook(lambda module, args, out: features.append(out.abs().max()))
    head.train()(levels()), head.eval()(levels())
    assert features[0] == 0
    assert features[1] > 0
