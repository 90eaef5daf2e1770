"""Metrics of benchmark family A against the published meters: at network size, and from 8-bit maps of original size."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import METRICS, MODELS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.golden_astmt import family_a_tasks
from tests.shared import shared_path
from tests.toy_parts import ToyEncoder  # noqa: F401  (registers it)

METRIC = dict(
    semseg=dict(type='IoUMetric', per_class=True),
    human_parts=dict(type='IoUMetric', per_class=True),
    sal=dict(type='SaliencyIoUMetric'),
    normals=dict(type='NormalsMetric'),
    depth=dict(type='DepthMetric'),
)


@MODELS.register_module()
class GivenLogitsHead(nn.Module):
    """Returns the same logits whatever it sees."""

    def __init__(self, tasks, logits) -> None:
        super().__init__()
        self.tasks, self.logits = tasks, logits

    def required_tasks(self, tasks):
        return tasks

    def forward(self, feats, tasks=None):
        return MultiTaskOutput({name: self.logits[name] for name in tasks})


@pytest.fixture(params=['pascal', 'nyud'])
def reference(request):
    folder = shared_path('golden/padnet_mtinet')
    data = torch.load(folder / 'losses_meters_data.pth', weights_only=True)[request.param]
    expected = json.loads((folder / 'losses_meters_expected.json').read_text())[request.param]
    return family_a_tasks({name: x.shape[1] for name, x in data['logits'].items()}), data, expected


def build(name, tasks, **options):
    metric = METRICS.build(dict(METRIC[name], task=name, **options))
    metric.dataset_meta = dict(tasks=tasks)
    return metric


def values(metric):
    return metric.compute_metrics(metric.results)


def check_shared(name, found, expected):
    if name in ('semseg', 'human_parts'):
        per_class = [v for key, v in found.items() if key.startswith('IoU_')]
        assert per_class == pytest.approx([100 * x for x in expected['jaccards_all_categs']], rel=1e-6, abs=1e-9)
        assert found['mIoU'] == pytest.approx(100 * expected['mIoU'], rel=1e-6)
    elif name == 'sal':
        assert found['mIoU'] == pytest.approx(100 * expected['mIoU'], rel=1e-6)
        assert found['maxF'] == pytest.approx(100 * expected['maxF'], rel=1e-6)
    elif name == 'normals':
        assert found['mErr'] == pytest.approx(expected['mean'], rel=1e-5)
        for limit in ('11.25', '22.5', '30'):
            assert found[f'below_{limit}'] == pytest.approx(expected[limit], rel=1e-5)
    else:
        assert found['RMSE'] == pytest.approx(expected['rmse'], rel=1e-5)
        assert found['logRMSE'] == pytest.approx(expected['log_rmse'], rel=1e-5)


def test_at_the_size_of_the_network(reference):
    tasks, data, expected = reference
    definitions = TaskSet(tasks)
    for name in METRIC.keys() & tasks.keys():
        metric = build(name, tasks)
        for logits, target in zip(data['logits'][name], data['targets'][name], strict=True):
            sample = dict(pred={name: definitions[name].decode(logits)}, gt={name: target})
            metric.process(None, [sample])
        check_shared(name, values(metric), expected['online'][name])


def test_from_pictures_of_the_original_size(reference):
    tasks, data, expected = reference
    tasks['depth'] = dict(tasks.get('depth', dict(type='Depth')), ignore_value=0)  # as in the files
    tasks = {name: tasks[name] for name in data['logits']}
    for i in range(4):
        logits = {name: x[i : i + 1] for name, x in data['logits'].items()}
        model = MODELS.build(
            dict(
                type='MultiTaskEncoderDecoder',
                tasks=tasks,
                backbone=dict(type='ToyEncoder'),
                decode_head=dict(type='GivenLogitsHead', logits=logits),
                test_cfg=dict(resize='predictions'),
            )
        ).eval()
        original = {name: x[i].numpy() for name, x in data['original'].items()}
        shape = next(iter(original.values())).shape[:2]
        sample = MultiTaskDataSample(metainfo=dict(ori_shape=shape))
        with torch.no_grad():
            (sample,) = model(torch.zeros(1, 3, 16, 20), [sample], mode='predict')
        if i == 0:
            metrics = {name: build(name, tasks, **eight_bit(name)) for name in METRIC.keys() & tasks.keys()}
        for name, metric in metrics.items():
            label = model.tasks[name].mask_values(original[name])
            label = torch.from_numpy(np.ascontiguousarray(label.reshape(*shape, -1).transpose(2, 0, 1)))
            metric.process(None, [dict(pred={name: sample.pred.get(name)}, gt={name: label})])
    for name, metric in metrics.items():
        found = values(metric)
        check_shared(name, found, expected['offline'][name])
        if name == 'normals':
            assert found['RMSE'] == pytest.approx(expected['offline'][name]['rmse'], rel=1e-5)
            assert found['median'] == pytest.approx(expected['offline'][name]['median'], abs=0.05)


def eight_bit(name):
    return dict(eight_bit=True) if name in ('sal', 'normals') else {}


def test_nothing_to_find_and_nothing_found():
    metric = build('sal', dict(sal=dict(type='Saliency', out_channels=1)))
    empty, full = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    metric.process(None, [dict(pred=dict(sal=empty), gt=dict(sal=empty.byte()))])
    assert values(metric)['mIoU'] == 100
    metric.process(None, [dict(pred=dict(sal=full), gt=dict(sal=torch.full((1, 2, 3), 255, dtype=torch.uint8)))])
    assert values(metric)['mIoU'] == 100  # an image without labels does not count
    metric.process(None, [dict(pred=dict(sal=empty), gt=dict(sal=full.byte()))])
    assert values(metric) == dict(mIoU=50, maxF=0)
