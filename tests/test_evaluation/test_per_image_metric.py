"""Metrics of DenseMTL: the published numbers, the right ones, and images without labels."""

import json

import pytest
import torch
from mmengine.structures import PixelData

from mlore_mm.registry import METRICS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import InverseDepth, TaskSet
from tests.shared import shared_path

TASKS = TaskSet(
    dict(
        semseg=dict(type='SemSeg', out_channels=9, ignore_value=250),
        depth=dict(type='InverseDepth'),
        normals=dict(type='SurfaceNormals'),
        edges=dict(type='Edge', out_channels=2),
    )
)


def evaluate(kind, task, predictions, targets, **options):
    """The metric over images, fed in batches of 2."""
    metric = METRICS.build(dict(type=kind, task=task, **options))
    metric.dataset_meta = dict(tasks=TASKS.to_config())
    samples = [
        MultiTaskDataSample(pred=PixelData(**{task: p}), gt=PixelData(**{task: t}))
        for p, t in zip(predictions, targets, strict=True)
    ]
    for start in range(0, len(samples), 2):
        metric.process(None, [sample.to_dict() for sample in samples[start : start + 2]])
    return {key.split('/')[-1]: value for key, value in metric.evaluate(len(samples)).items()}


def golden():
    folder = shared_path('golden/mtl_metrics')
    given = torch.load(folder / 'densemtl_metrics_inputs.pth', weights_only=True)
    return given, json.loads((folder / 'densemtl_metrics_expected.json').read_text())


def check(ours, wanted, pairs, factor=1.0):
    for key, name in pairs.items():
        assert ours[key] == pytest.approx(factor * wanted[name], rel=1e-6), key


def test_semseg_and_edges():
    given, wanted = golden()
    ours = evaluate('IoUMetric', 'semseg', given['semseg_pred'][:, None], given['semseg_gt'][:, None], absent='skip')
    check(ours, wanted['published_semseg'], dict(mIoU='mIoU', aAcc='Acc'), 100)
    ours = evaluate('EdgeF1Metric', 'edges', given['edges_pred'][:, None].float(), given['edges_gt'][:, None])
    check(ours, wanted['published_edges'], dict(F1='F1'), 100)
    check(ours, wanted['plain']['edges'], dict(F1_background='F1_background', F1_edge='F1_edge'), 100)


DEPTH = dict(RMSE='RMSE', absRel='Abs. Rel error', sqRel='Sqr. Rel error')
DELTAS = {f'delta{i}': f'Acc. < 1.25{suffix}' for i, suffix in ((1, ''), (2, '**2'), (3, '**3'))}


@pytest.mark.parametrize('median_scaling', [False, True])
@pytest.mark.parametrize('legacy', [False, True])
def test_depth(legacy, median_scaling):
    """Right metres, and the published ones, which are 0.99 m short."""
    given, wanted = golden()
    metres = InverseDepth(name='depth').decode(given['depth_inverse_pred'].double())
    labels = torch.where(given['depth_mask'], 655.36 / given['depth_inverse_gt'].double() - 0.01, 0)
    options = dict(median_scaling=median_scaling, legacy_depth_offset=legacy)
    ours = evaluate('PerImageDepthMetric', 'depth', metres, labels, **options)
    name = 'published_depth_from_inverse' if legacy else 'published_formulas_on_true_metres'
    wanted = wanted[name + '_median_scaled' * median_scaling]
    check(ours, wanted, DEPTH)
    check(ours, wanted, DELTAS, 100)


def test_normals():
    given, wanted = golden()
    target = given['normals_gt']
    masked = torch.where(given['depth_mask'], target, 255)
    for labels, name in ((target, 'normals_all_pixels'), (masked, 'normals_masked')):
        ours = evaluate('PerImageNormalsMetric', 'normals', given['normals_pred'], labels)
        right = wanted['plain'][name]
        names = dict(mErr='mean_of_images', median='lower_median_mean_of_images', RMSE='rmse_root_of_mean_of_image_mse')
        check(ours, right, names)
        check(ours, right, {f'below_{x}': f'share_below_{x}_mean_of_images' for x in ('11.25', '22.5', '30')}, 100)


@pytest.mark.parametrize(
    ('name', 'unit_length'), [('published_normals_nyud', True), ('published_normals_outdoor', False)]
)
def test_published_normals_which_are_no_angles(name, unit_length):
    given, wanted = golden()
    prediction = given['normals_pred'].double()
    prediction = torch.nn.functional.normalize(prediction, dim=1) if unit_length else prediction
    ours = evaluate('PerImageNormalsMetric', 'normals', prediction, given['normals_gt'], legacy=True)
    check(ours, wanted[name], dict(mErr='Mean', median='Median', RMSE='RMSE'))
    check(ours, wanted[name], {f'below_{x}': f'error < {x} degrees' for x in ('11.25', '22.5', '30')}, 100)


def test_depth_by_hand():
    """Two images with errors 1 and 2 m on one and four pixels weigh the same, and one without labels nothing."""
    labels = [torch.tensor([[[4.0, 0, 0, 0]]]), torch.full((1, 1, 4), 4.0), torch.zeros(1, 1, 4)]
    predictions = [torch.full((1, 1, 4), x) for x in (5.0, 6.0, 3.0)]
    ours = evaluate('PerImageDepthMetric', 'depth', predictions, labels)
    assert ours['RMSE'] == pytest.approx(((1 + 4) / 2) ** 0.5)
    assert ours['absRel'] == pytest.approx((0.25 + 0.5) / 2)
    assert ours['delta1'] == 0
    assert ours['delta2'] == pytest.approx(100)


def test_normals_by_hand():
    label = torch.tensor([[0.0, 0.0, 0.004], [0.0, 0.0, 0.004], [1.0, 1.0, 0.004]])[:, None]  # the last one is none
    prediction = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])[:, None]
    ours = evaluate('PerImageNormalsMetric', 'normals', [prediction], [label])
    assert ours['mErr'] == pytest.approx(45)
    assert ours['median'] == pytest.approx(0)
    assert ours['below_30'] == pytest.approx(50)


def test_edges_by_hand():
    label = torch.tensor([[[1.0, 1.0, 0.0, 255.0]]])
    ours = evaluate('EdgeF1Metric', 'edges', [torch.tensor([[[0.9, 0.2, 0.1, 0.9]]])], [label])
    assert ours == pytest.approx(dict(F1=100 * 2 / 3, F1_background=100 * 2 / 3, F1_edge=100 * 2 / 3))


@pytest.mark.parametrize(('threshold', 'edge'), [(0.5, 100 * 2 / 3), (0.9, 100 * 2 / 3), (0.2, 80), (0.95, 0)])
def test_a_score_at_the_threshold_is_no_edge_and_a_label_above_0_is_one(threshold, edge):
    label = torch.tensor([[[0.1, 1.0, 0.0, 255.0]]])
    ours = evaluate('EdgeF1Metric', 'edges', [torch.tensor([[[0.95, 0.2, 0.3, 0.9]]])], [label], threshold=threshold)
    assert ours['F1_edge'] == pytest.approx({0.2: 50}.get(threshold, edge))


def test_a_class_that_is_nowhere_has_no_f1():
    label = torch.zeros(1, 1, 3)
    ours = evaluate('EdgeF1Metric', 'edges', [label], [label])
    assert (ours['F1'], ours['F1_background']) == (100, 100)
    assert ours['F1_edge'] != ours['F1_edge']


def test_options_of_depth_by_hand():
    """Medians: of an even number the lower one; 0.99 m less; predictions are clamped to the limits."""
    label, prediction = torch.tensor([[[2.0, 4.0]]]), torch.tensor([[[1.0, 3.0]]])
    scaled = evaluate('PerImageDepthMetric', 'depth', [prediction], [label], median_scaling=True)
    assert scaled['RMSE'] == pytest.approx(2**0.5)  # twice 1 and 3, beside 2 and 4
    short = evaluate('PerImageDepthMetric', 'depth', [prediction], [label], legacy_depth_offset=True)
    assert short['absRel'] == pytest.approx((1 / 1.01 + 1 / 3.01) / 2, rel=1e-3)  # 0.01 of 1.01; the floor is 1 mm
    options = dict(min_depth=0.5, max_depth=4)
    far = evaluate('PerImageDepthMetric', 'depth', [torch.tensor([[[9.0, 9.0]]])], [label], **options)
    assert far['RMSE'] == 2  # the label of 4 does not count, and 9 becomes 4
    near = evaluate('PerImageDepthMetric', 'depth', [torch.tensor([[[0.0, 9.0]]])], [label], **options)
    assert near['RMSE'] == 1.5
    with pytest.raises(ValueError, match='needs 0 <= min_depth < max_depth'):
        METRICS.build(dict(type='PerImageDepthMetric', task='d', min_depth=2, max_depth=1))


def test_the_shortest_normal():
    label = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.1, 0.0999]])[:, None]
    prediction = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])[:, None]
    assert evaluate('PerImageNormalsMetric', 'normals', [prediction], [label])['mErr'] == pytest.approx(0)
    ours = evaluate('PerImageNormalsMetric', 'normals', [prediction], [label], shortest=0.05)
    assert (ours['mErr'], ours['RMSE']) == pytest.approx((45, (90**2 / 2) ** 0.5))
