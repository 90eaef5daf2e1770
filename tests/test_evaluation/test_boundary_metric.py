"""BoundaryMetric: the numbers of the offline tool, with and without workers, in one process and in two."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from PIL import Image

from mlore_mm.apis.analysis.eval_boundary import eval_boundary
from mlore_mm.apis.inference.save_predictions import save_predictions
from mlore_mm.evaluation.counting_pool import QUEUED_BYTES, CountingPool
from mlore_mm.evaluation.functional.boundary import FAST_THRESHOLDS, FULL_THRESHOLDS, compiled
from mlore_mm.evaluation.metrics.boundary_metric import resolve_thresholds
from mlore_mm.registry import METRICS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.distributed import run_in_processes
from tests.test_evaluation.boundary_reference import compact_reference

NAMES = [f'room_{index}' for index in range(7)]


@pytest.fixture
def folders(tmp_path):
    """Predictions and NYUD-style edge maps of noisy rectangles, as files."""
    rng = np.random.default_rng(0)
    for folder in ('pred', 'gt'):
        (tmp_path / folder).mkdir()
    for name in NAMES:
        labels = np.zeros((48, 64))
        y, x = rng.integers(8, 20, size=2)
        labels[y : y + 20, x : x + 30] = 1
        edge = np.zeros((48, 64), dtype=np.uint8)
        edge[:-1] |= labels[1:] != labels[:-1]
        edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
        prediction = np.clip(edge * 150 + rng.integers(0, 100, size=edge.shape), 0, 255)
        Image.fromarray(edge * 255).save(tmp_path / 'gt' / f'{name}.png')
        Image.fromarray(prediction.astype(np.uint8)).save(tmp_path / 'pred' / f'{name}.png')
    return tmp_path


def sample_of(root, name, labelled=True):
    prediction = np.array(Image.open(root / 'pred' / f'{name}.png'))
    edge = np.array(Image.open(root / 'gt' / f'{name}.png')) / np.float32(255)
    target = torch.from_numpy(edge)[None] if labelled else torch.full((1, 48, 64), 255.0)
    path = str(root / 'gt' / f'{name}.png') if labelled else None
    return MultiTaskDataSample(
        gt=PixelData(edge=target),
        pred=PixelData(edge=torch.from_numpy(prediction)[None].float() / 255),
        metainfo=dict(sample_id=name, label_paths=dict(edge=path)),
    ).to_dict()


def evaluate(samples, size=None, **options):
    metric = METRICS.build(dict(type='BoundaryMetric', task='edge', max_dist=0.011, **options))
    for start in range(0, len(samples), 2):
        metric.process(None, samples[start : start + 2])
    assert len(metric.results) == len(samples)
    return metric.evaluate(size or len(samples))


def offline(root, names=None):
    result = eval_boundary(root / 'pred', root / 'gt', 'nyud', names=names, workers=0)
    return {f'edge/{key}': value for key, value in result.headline().items()}


def evaluate_share(rank_names, root, size):
    """What one of several processes does; mmengine deals images out in turn."""
    rank = torch.distributed.get_rank()
    return evaluate([sample_of(root, name) for name in rank_names[rank]], size=size, workers=1)


@pytest.mark.parametrize('ground_truth', ['label_file', 'target'])
def test_metric_equals_the_offline_tool(folders, ground_truth):
    samples = [sample_of(folders, name) for name in NAMES]
    values = evaluate(samples, workers=0, ground_truth=ground_truth)
    assert values == offline(folders)
    assert 40 < values['edge/odsF'] < 100


def test_saved_predictions_score_the_same(folders):
    """Probabilities between the 256 levels, through the files that the test tool writes."""
    tasks = TaskSet(dict(edge=dict(type='Edge')))
    samples = []
    for index, name in enumerate(NAMES):
        sample = sample_of(folders, name)
        noise = torch.rand(1, 48, 64, generator=torch.Generator().manual_seed(index))
        sample['pred']['edge'] = (0.8 * sample['pred']['edge'] + 0.2 * noise).clamp(0, 1)
        save_predictions(MultiTaskDataSample(pred=PixelData(**sample['pred'])), tasks, folders / 'saved', name)
        samples.append(sample)
    result = eval_boundary(folders / 'saved' / 'edge', folders / 'gt', 'nyud', workers=0)
    assert evaluate(samples, workers=0) == {f'edge/{key}': value for key, value in result.headline().items()}


def test_label_maps_of_pascal_context():
    """`.mat` files of any size, as the reference counts them."""
    references = [compact_reference(name) for name in ('a06', 'a09')]
    samples = [
        dict(pred=dict(edge=torch.from_numpy(r.prediction)[None] / 255), label_paths=dict(edge=str(r.label_path)))
        for r in references
    ]
    metric = METRICS.build(dict(type='BoundaryMetric', task='edge', max_dist=0.0075, workers=0))
    metric.process(None, samples)
    metric._finish()
    for result, reference in zip(metric.results, references, strict=True):
        expected = reference.expected['counts']['0.0075']
        np.testing.assert_array_equal(result['counts'][0], expected['max_matching'])
        np.testing.assert_array_equal(result['counts'][3], expected['sumP'])


def test_workers_change_nothing(folders):
    samples = [sample_of(folders, name) for name in NAMES * 4]  # more than may wait at a time
    metric = METRICS.build(dict(type='BoundaryMetric', task='edge', max_dist=0.011, workers=2))
    for _ in range(2):  # the threads start anew for every evaluation
        metric.process(None, samples)
        assert metric.evaluate(len(samples)) == offline(folders)
    assert metric._pool._executor is None


def test_two_processes_give_the_numbers_of_one(folders, tmp_path_factory):
    # Seven images on two ranks: the sampler repeats the first one, which must not count twice.
    shares = [[*NAMES[0::2]], [*NAMES[1::2], NAMES[0]]]
    folder = tmp_path_factory.mktemp('group')
    results = run_in_processes(evaluate_share, folder, shares, folders, len(NAMES))
    assert results == [offline(folders)] * 2


def test_unlabelled_images_count_nothing(folders):
    for ground_truth in ('label_file', 'target'):
        samples = [sample_of(folders, name, labelled=index < 3) for index, name in enumerate(NAMES)]
        assert evaluate(samples, workers=0, ground_truth=ground_truth) == offline(folders, NAMES[:3])
        nothing = evaluate(samples[3:], workers=0, ground_truth=ground_truth)
        assert all(np.isnan(value) for value in nothing.values())


def test_ignored_pixels_of_a_target_are_no_boundary(folders):
    samples = [sample_of(folders, name) for name in NAMES]
    expected = evaluate(samples, workers=0, ground_truth='target')
    for sample in samples:
        sample['gt']['edge'][:, :3] = 255
    assert evaluate(samples, workers=0, ground_truth='target') == expected


def test_fewer_thresholds(folders):
    samples = [sample_of(folders, name) for name in NAMES]
    full = evaluate(samples, workers=0)
    fast = evaluate(samples, workers=0, thresholds='fast')
    assert fast == evaluate(samples, workers=0, thresholds=list(FAST_THRESHOLDS))
    assert fast == pytest.approx(evaluate(samples, workers=0, thresholds=19))
    assert full['edge/odsF'] - 2 < fast['edge/odsF'] <= full['edge/odsF']


@pytest.mark.parametrize('workers', [0, 1])
def test_size_mismatch_names_image_and_sizes(folders, workers):
    sample = sample_of(folders, NAMES[0])
    sample['pred']['edge'] = sample['pred']['edge'][:, :-1]
    with pytest.raises(ValueError, match=r"(?s)image 'room_0'.*room_0.png.*\(48, 64\) and the prediction \(47, 64\)"):
        evaluate([sample], workers=workers)


def test_what_is_missing_is_named(folders):
    sample = sample_of(folders, NAMES[0])
    with pytest.raises(ValueError, match=r"'room_0': no such map in `pred`, which has \['edge'\]"):
        METRICS.build(dict(type='BoundaryMetric', task='contour')).process(None, [sample])
    del sample['label_paths']
    with pytest.raises(ValueError, match='has no `label_paths`'):
        evaluate([sample], workers=0)
    with pytest.raises(ValueError, match="'label_file' or 'target', but got 'mat'"):
        METRICS.build(dict(type='BoundaryMetric', task='edge', ground_truth='mat'))
    with pytest.raises(ValueError, match="'full', 'fast', an int or a list"):
        METRICS.build(dict(type='BoundaryMetric', task='edge', thresholds='all'))


def test_the_network_does_not_wait_for_the_workers(monkeypatch):
    prediction = np.zeros((480, 640), dtype=np.uint8)
    pool = CountingPool(0.01, FULL_THRESHOLDS, workers=1)
    monkeypatch.setattr('mlore_mm.evaluation.counting_pool.wait', lambda *args, **options: pytest.fail('it waited'))
    for index in range(40):
        pool.submit(str(index), prediction, prediction)
    assert len(pool) == 40
    pool.close()


def test_queue_is_bounded(folders, monkeypatch):
    monkeypatch.setattr('mlore_mm.evaluation.counting_pool.QUEUED_BYTES', 48 * 64)
    prediction, labels = np.zeros((48, 64), dtype=np.uint8), np.zeros((48, 64), dtype=np.uint8)
    pool = CountingPool(0.01, FULL_THRESHOLDS, workers=1)
    for index in range(30):
        pool.submit(str(index), prediction, labels)
        assert len(pool) - pool.finished <= 8
    assert len(pool.drain()) == 30


def test_import_compiles_nothing():
    check = (
        'from mlore_mm.evaluation.functional.boundary import counts, matching, smoothing, suppression, thinning\n'
        'kernels = [v for m in (counts, matching, smoothing, suppression, thinning) for v in vars(m).values()'
        " if hasattr(v, 'signatures')]\n"
        'assert kernels and not any(kernel.signatures for kernel in kernels)'
    )
    subprocess.run([sys.executable, '-c', check], check=True)


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    njit = compiled.numba.njit

    def without_cache(cache=False, **options):
        if cache:
            raise RuntimeError('cannot cache function: no locator available')
        return njit(**options)

    monkeypatch.setattr(compiled.numba, 'njit', without_cache)
    assert compiled.compiled(lambda x: x + 1)(2) == 3


def test_a_thousand_photos_may_wait_and_two_thousand_not():
    assert 1000 * 512 * 512 <= QUEUED_BYTES < 2000 * 512 * 512


@pytest.mark.parametrize(
    ('thresholds', 'expected'), [(3, (0.25, 0.5, 0.75)), ([0, 1], (0, 1)), ('fast', FAST_THRESHOLDS), (1, (0.5,))]
)
def test_thresholds_in_every_form(thresholds, expected):
    assert resolve_thresholds(thresholds) == pytest.approx(expected)


@pytest.mark.parametrize('thresholds', [0, [], [0.5, 0.5], [0.5, 0.2], [-0.1, 0.5], [0.5, 1.1]])
def test_other_thresholds_are_named(thresholds):
    with pytest.raises(ValueError, match='one or more numbers in 0..1, ascending'):
        resolve_thresholds(thresholds)


@pytest.mark.parametrize('max_dist', [0, 1, 3])
def test_a_distance_is_a_part_of_the_diagonal(max_dist):
    with pytest.raises(ValueError, match=f"'edge': max_dist is a part .* but got {max_dist}"):
        METRICS.build(dict(type='BoundaryMetric', task='edge', max_dist=max_dist))
    with pytest.raises(ValueError, match='workers must be 0 .* but got -1'):
        CountingPool(0.01, FULL_THRESHOLDS, workers=-1)


def test_a_pixel_of_one_half_is_no_boundary_and_two_channels_are_no_map():
    target = torch.tensor([[[0.5, 0.51, 255, 0]]])
    metric = METRICS.build(dict(type='BoundaryMetric', task='e', ground_truth='target', workers=0))
    assert metric._labels(dict(gt=dict(e=target)), 'x').tolist() == [[0, 1, 0, 0]]
    with pytest.raises(ValueError, match=r"image 'x': `pred` must be \(1, H, W\), but is \(2, 3, 4\)"):
        metric.process(None, [dict(sample_id='x', pred=dict(e=torch.zeros(2, 3, 4)), gt=dict(e=target))])
    with pytest.raises(ValueError, match='no such map in `groups`, which has '):
        METRICS.build(dict(type='BoundaryMetric', task='e', output='a')).process(None, [dict(pred=dict(e=target))])


def test_progress_is_told_and_the_pool_starts_anew():
    image, seen = np.zeros((20, 30), dtype=np.uint8), []
    pool = CountingPool(0.01, (0.5,), workers=1)
    for index in range(3):
        pool.submit(str(index), image, image)
    pool.add_unlabelled()
    counts = pool.drain(lambda finished, images: seen.append((finished, images)))
    assert seen[-1] == (4, 4)
    assert [x.shape for x in counts] == [(4, 1)] * 4
    assert (len(pool), pool.finished, pool._executor) == (0, 0, None)
    at_once = CountingPool(0.01, (0.5,), workers=0)
    at_once.submit('x', image, image)
    assert (at_once.finished, at_once._executor) == (1, None)
    with pytest.raises(ValueError, match="Boundary counts of image 'y' failed"):
        at_once.submit('y', image, image[:5])
    assert len(at_once) == 0
    with pytest.raises(RuntimeError, match="image 'z' failed"):
        at_once.submit('z', None, image)
