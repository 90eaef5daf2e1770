from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from PIL import Image

from mlore_mm.engine import MultiTaskVisualizationHook
from mlore_mm.engine.hooks import visualization_hook
from mlore_mm.engine.hooks.visualization_hook import draw_confusions
from mlore_mm.evaluation import MultiTaskEvaluator
from mlore_mm.structures import MultiTaskDataSample
from tests.toy import write_images


class Recorder:
    def __init__(self):
        self.drawn = []

    def add_datasample(self, name, image, sample, out_file, step, **options):
        assert image.shape == (12, 16, 3)
        self.image, self.options = image, options
        self.drawn.append((name, out_file, step))


@pytest.fixture
def samples(tmp_path):
    write_images(tmp_path, 5)
    metas = [dict(img_path=str(tmp_path / f'{i:03d}.png'), sample_id=f'room/{i}') for i in range(5)]
    return [MultiTaskDataSample(metainfo=meta, pred=PixelData()) for meta in metas]


def test_every_interval_th_validation_image_at_each_evaluation(samples):
    runner, hook = SimpleNamespace(visualizer=Recorder(), iter=100), MultiTaskVisualizationHook(draw=True, interval=2)
    for _ in range(2):
        hook.before_val_epoch(runner)
        hook.after_val_iter(runner, 0, None, samples[:3])  # batches do not change which images are drawn
        hook.after_val_iter(runner, 1, None, samples[3:])
    assert [name for name, *_ in runner.visualizer.drawn] == ['val_room%2F0', 'val_room%2F2', 'val_room%2F4'] * 2
    assert {step for *_, step in runner.visualizer.drawn} == {100}


def test_every_test_image_gets_a_file(samples, tmp_path):
    runner = SimpleNamespace(visualizer=Recorder())
    hook = MultiTaskVisualizationHook(draw=True, interval=50, out_dir=str(tmp_path / 'panels'))
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, samples)
    files = [file for _, file, _ in runner.visualizer.drawn]
    assert files == [str(tmp_path / 'panels' / 'room' / f'{i}.png') for i in range(5)]
    hook.before_test_epoch(runner)
    hook.out_dir = None
    hook.after_test_iter(runner, 0, None, samples[:2])
    assert [(file, step) for _, file, step in runner.visualizer.drawn[3:]] == [
        (f, i + 4) for i, f in enumerate(files[3:])
    ] + [
        (None, 1),
        (None, 2),
    ]
    assert runner.visualizer.drawn[0][0] == 'test_room%2F0'


def test_nothing_is_drawn_unless_asked(samples):
    runner, hook = SimpleNamespace(visualizer=Recorder(), iter=0), MultiTaskVisualizationHook()
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, None, samples)
    hook.after_test_iter(runner, 0, None, samples)
    assert runner.visualizer.drawn == []


def test_interval_is_checked():
    with pytest.raises(ValueError, match='interval=0'):
        MultiTaskVisualizationHook(interval=0)


@pytest.mark.parametrize('per_class', [True, False])
def test_confusion_matrices_lie_beside_the_numbers(tmp_path, monkeypatch, per_class):
    """Of class 1 two of three pixels are found, and the third is taken for class 0."""
    pred = PixelData(semseg=torch.tensor([[[0, 1, 1, 0, 0]]]))
    gt = PixelData(semseg=torch.tensor([[[0, 1, 1, 1, 255]]], dtype=torch.uint8))
    semseg = dict(type='SemSeg', out_channels=2, metric=dict(type='IoUMetric', per_class=per_class))
    evaluator = MultiTaskEvaluator(dict(semseg=semseg), out_file=str(tmp_path / 'evaluation.json'))
    evaluator.offline_evaluate([MultiTaskDataSample(pred=pred, gt=gt)] * 2)
    moment = 'after_val_epoch' if per_class else 'after_test_epoch'
    runner = SimpleNamespace(val_evaluator=evaluator, test_evaluator=evaluator)
    getattr(MultiTaskVisualizationHook(), moment)(runner)
    names = {path.name for path in tmp_path.iterdir()}
    if per_class:
        labels, counts = evaluator.confusions['semseg']
        assert (labels, counts.tolist()) == (['0', '1'], [[2, 0], [2, 4]])
        assert names == {'evaluation.json', 'confusion_semseg.png'}
        assert draw_confusions(evaluator) == [tmp_path / 'confusion_semseg.png']
        monkeypatch.setattr(visualization_hook, 'write_picture', full)
        assert draw_confusions(evaluator) == []  # said in the log
    else:
        assert names == {'evaluation.json'}


def full(*args):
    raise ValueError('no space left')


@pytest.mark.parametrize('remote', [False, True])
def test_a_panel_has_the_colours_of_the_picture_and_the_options_of_the_window(samples, tmp_path, monkeypatch, remote):
    runner, asked = SimpleNamespace(visualizer=Recorder(), iter=1), []
    path = tmp_path / '000.png'
    content, pixels = path.read_bytes(), np.asarray(Image.open(path))
    if remote:
        path.unlink()
        monkeypatch.setattr(visualization_hook, 'get', lambda *args, **more: asked.append((args, more)) or content)
    hook = MultiTaskVisualizationHook(draw=True, show=True, wait_time=0.5, backend_args=dict(backend='x'))
    hook.after_val_iter(runner, 0, None, samples[:1])
    np.testing.assert_array_equal(runner.visualizer.image, pixels)
    assert runner.visualizer.options == dict(show=True, wait_time=0.5)
    assert asked == [((str(path),), dict(backend_args=dict(backend='x')))] * remote


def test_without_an_evaluation_there_is_no_confusion():
    assert draw_confusions(SimpleNamespace(written=None, confusions=dict(semseg=()))) == []
    assert draw_confusions(None) == []
