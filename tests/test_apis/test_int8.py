import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mlore_mm.apis import init_model
from mlore_mm.apis.deploy.export import export_model, read_metadata
from mlore_mm.apis.deploy.int8 import (
    TOLERANCE,
    Int8Report,
    _kept,
    _Photos,
    _scores,
    calibration_photos,
    compare_int8,
    evaluate_exported,
    quantise,
)
from mlore_mm.tasks import TaskSet
from tests.tiny import SINGLE_STAGE, TRAINING, write_rooms, write_tiny

TASKS = TaskSet(dict(depth=dict(type='Depth'), semseg=dict(type='SemSeg', out_channels=3)))


def products_of(model, word):
    """Names of the convolutions and matrix products inside modules of this name."""
    nodes = [x for x in model.graph.node if x.op_type in ('Conv', 'MatMul', 'Gemm')]
    found = [x.name for x in nodes if any(word in y.value for y in x.metadata_props if 'name_scopes' in y.key)]
    assert found
    return found


@pytest.mark.slow
def test_int8_of_a_tiny_model_on_rooms(tmp_path):
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name, reason='int8 needs it')
    rooms = write_rooms(tmp_path / 'rooms', 3)
    model = init_model(*write_tiny(tmp_path, rooms, SINGLE_STAGE + TRAINING))
    full, small = tmp_path / 'fp32.onnx', tmp_path / 'new' / 'int8.onnx'
    export_model(model, full, 'onnx', tasks=['semseg', 'depth'], dynamic_size=True)
    photos = calibration_photos(model.cfg, 2)
    assert len(photos) == 2
    with pytest.raises(ValueError, match='in a module with nowhere in its name'):
        quantise(full, small, photos, keep=['conv_out', 'nowhere'])
    steps = quantise(full, small, photos, keep=['conv_out'])
    assert steps['int8'] > steps['fp32'] > 0
    assert read_metadata(small, 'onnx') == dict(read_metadata(full, 'onnx'), precision='int8')
    import onnx

    graph = onnx.load(str(small)).graph
    stored = {x.name: x for x in graph.initializer}
    eight_bits = [x for x in stored.values() if x.data_type == onnx.TensorProto.INT8 and len(x.dims) == 4]
    assert eight_bits
    scales = [x for name, x in stored.items() if name.endswith('_scale') and np.prod(x.dims) > 1]
    assert scales, 'weights have one scale per channel'
    made = {x.output[0]: x.op_type for x in graph.node}
    in_int8 = {x.name for x in graph.node if made.get(x.input[0]) == 'DequantizeLinear'}
    for word, expected in dict(router=set(), predict=set(), conv_out=set(), backbone={True}).items():
        assert {name in in_int8 for name in products_of(onnx.load(str(full)), word)} - {False} == expected, word
    before, seconds = evaluate_exported(full, model)
    after, _ = evaluate_exported(small, model)
    assert seconds > 0
    assert before != after
    rows = compare_int8(before, after, model.tasks)
    assert [row.task for row in rows] == ['semseg', 'depth']
    assert all(math.isfinite(row.int8) for row in rows)
    assert after['depth/RMSE'] == pytest.approx(before['depth/RMSE'], rel=0.2)


def test_without_photos_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match='int8 needs photos to calibrate on'):
        quantise(tmp_path / 'a.onnx', tmp_path / 'b.onnx', [])
    model = init_model(write_tiny(tmp_path, str(tmp_path / 'nowhere'))[0])
    with pytest.raises(ValueError, match='calibrated on photos of the training set'):
        calibration_photos(model.cfg, 2)


def test_a_worse_number_fails_in_either_direction():
    before = {'depth/RMSE': 1.0, 'semseg/mIoU': 50.0}
    rows = compare_int8(before, {'depth/RMSE': 1.03, 'semseg/mIoU': 49.5}, TASKS)
    assert [(row.task, round(row.better, 3), row.passed) for row in rows] == [
        ('depth', -0.03, False),
        ('semseg', -0.01, True),
    ]
    assert all(row.passed for row in compare_int8(before, {'depth/RMSE': 0.5, 'semseg/mIoU': 60.0}, TASKS))
    (same, other) = compare_int8({'depth/RMSE': 0.0}, {'depth/RMSE': 0.0}, TASKS) + compare_int8(
        {'semseg/mIoU': 0.0}, {'semseg/mIoU': 1.0}, TASKS
    )
    assert (same.better, other.better) == (0, 1)
    assert Int8Report('a', 'b', 1, 1, -TOLERANCE).passed
    assert not Int8Report('a', 'b', 1, 1, -0.0201).passed


def node(name, *inputs, scope=''):
    entries = [SimpleNamespace(key='pkg.torch.onnx.name_scopes', value=scope), SimpleNamespace(key='x', value='router')]
    return SimpleNamespace(name=name, input=inputs, metadata_props=entries)


def test_which_steps_stay_in_full_precision():
    """By the module that was written beside a step, by its weights, or by its name."""
    exported = [node('a', scope='head.router.fc'), node('b', scope='backbone.0'), node('c'), node('d', scope='neck')]
    prepared = [node('a'), node('b'), node('c', 'x', 'head.predict.weight'), node('d'), node('gate_1')]
    assert _kept(exported, prepared, []) == ['a', 'c', 'gate_1']
    assert _kept(exported, prepared, ['neck', 'backbone']) == ['a', 'b', 'c', 'd', 'gate_1']
    with pytest.raises(ValueError, match='in a module with tail, feet in its name'):
        _kept(exported, prepared, ['tail', 'neck', 'feet'])


def test_photos_for_calibration(tmp_path):
    photos = [np.full((2, 2, 3), value, np.uint8) for value in (10, 20)]
    reader = _Photos(photos, dict(name='image', size=(4, 4), pad_value=[1, 2, 3]))
    for value in (10, 20):
        batch = reader.get_next()['image']
        assert (batch.shape, batch[0, 0, 1, 1], batch[0, 2, 0, 0]) == ((1, 3, 4, 4), value, 3)
    assert reader.get_next() is None
    rooms = write_rooms(tmp_path / 'rooms', 7)
    cfg = init_model(write_tiny(tmp_path, rooms, SINGLE_STAGE + TRAINING)[0]).cfg
    names = lambda count: [path[-5] for path in calibration_photos(cfg, count)]  # noqa: E731
    assert (names(3), names(2), names(9)) == (['0', '2', '4'], ['0', '3'], list('0123456'))


def test_scores_are_of_pixels_and_of_the_size_of_the_file():
    prepare = SimpleNamespace(mean=torch.tensor(10.0), std=torch.tensor(4.0))
    model, images = SimpleNamespace(data_preprocessor=prepare), torch.full((1, 3, 2, 2), 0.5)
    fixed = dict(input=dict(dynamic_size=False, size=[2, 2]))
    assert _scores(lambda x: [x.mean()], model, images, fixed) == [12]
    assert _scores(lambda x: [x.mean()], model, images[..., :1], dict(input=dict(dynamic_size=True, size=[2, 2]))) == [
        12
    ]
    with pytest.raises(ValueError, match=r'has an image of \(2, 1\), and the file takes \[2, 2\]'):
        _scores(lambda x: [x.mean()], model, images[..., :1], fixed)
