import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from PIL import Image

from mlore_mm.registry import VISUALIZERS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from mlore_mm.visualization import draw_overlays, draw_tasks, multi_task_visualizer
from mlore_mm.visualization.multi_task_visualizer import _missing
from mlore_mm.visualization.panels import BLANK, PAPER, STRIPES

TASKS = TaskSet(
    dict(
        semseg=dict(
            type='SemSeg',
            out_channels=3,
            classes=('wall', 'floor', 'bed'),
            palette=[[9, 9, 200], [9, 200, 9], [200, 9, 9]],
        ),
        human_parts=dict(type='HumanParts'),
        sal=dict(type='Saliency'),
        normals=dict(type='SurfaceNormals'),
        edge=dict(type='Edge'),
        depth=dict(type='Depth'),
    )
)
SIZE = (12, 16)
CELL = 192 * 256
IMAGE = np.full((*SIZE, 3), (250, 128, 7), np.uint8)


def constant(task, value):
    values = torch.full((task.target_channels, *SIZE), float(value))
    return values.to(torch.int64) if task.dtype == 'uint8' else values


def maps(value) -> dict:
    return {name: constant(task, value) for name, task in TASKS.items()}


def count(panel, colour) -> int:
    return int((panel == np.array(colour)).all(axis=-1).sum())


def test_colours_of_prediction_and_truth():
    pred, gt = maps(1), maps(1)
    gt['semseg'][:, :, 8:] = 2
    panel = draw_tasks(IMAGE, TASKS, pred, gt)
    assert count(panel, IMAGE[0, 0]) == CELL
    assert count(panel, (9, 200, 9)) >= CELL + CELL / 2
    assert CELL / 2 <= count(panel, (200, 9, 9)) < CELL / 2 + 400  # and its legend
    assert count(panel, (9, 9, 200)) == 0  # a class that is not there is not in the legend


def test_depth_shares_one_range():
    depth, near, far = TASKS.subset(['depth']), (253, 231, 37), (68, 1, 84)  # both ends of viridis
    gt = torch.full((1, *SIZE), 6.0)
    gt[:, :, :8] = 2.0
    panel = draw_tasks(IMAGE, depth, dict(depth=torch.full((1, *SIZE), 6.0)), dict(depth=gt), draw_error=False)
    assert 0.5 * CELL <= count(panel, near) < 0.6 * CELL
    assert 1.5 * CELL <= count(panel, far) < 1.6 * CELL


def test_unlabelled_is_grey_and_has_no_error():
    gt = {
        name: torch.from_numpy(task.empty_target(*SIZE)).reshape(SIZE[0], SIZE[1], -1).permute(2, 0, 1)
        for name, task in TASKS.items()
    }
    ignored = draw_tasks(IMAGE, TASKS, maps(1), gt)
    assert count(ignored, BLANK) > 0.9 * len(TASKS) * CELL  # the row of errors
    for grey in STRIPES:
        assert 0.4 * len(TASKS) * CELL < count(ignored, grey) < 0.55 * len(TASKS) * CELL
    labelled = {name: maps(1)[name] for name in TASKS}  # a reader may not say its file: what is labelled is drawn
    assert count(draw_tasks(IMAGE, TASKS, maps(1), labelled, missing=list(TASKS)), BLANK) < 0.1 * CELL
    missing = draw_tasks(IMAGE, TASKS, maps(1), gt, missing=list(TASKS))
    assert count(missing, BLANK) > 0.9 * 2 * len(TASKS) * CELL
    assert count(missing, STRIPES[0]) < 300  # no stripes, but text has such greys


def test_a_sample_says_which_labels_have_no_file():
    sample = MultiTaskDataSample(metainfo=dict(label_paths=dict(semseg=('a.png',), depth=())))
    assert _missing(TASKS.subset(['semseg', 'depth', 'edge']), sample) == ['edge', 'depth']
    assert _missing(TASKS, MultiTaskDataSample()) == []  # one that does not say


def test_black_in_depth_and_probabilities_are_explained():
    depth, black = constant(TASKS['depth'], 2), (0, 0, 0)
    whole = draw_tasks(IMAGE, TASKS.subset(['depth']), dict(depth=depth))
    depth[:, :2] = 0
    assert TASKS['depth'].legend(depth.numpy()) == [('no reading', black)]
    assert draw_tasks(IMAGE, TASKS.subset(['depth']), dict(depth=depth)).shape[0] > whole.shape[0]
    sal = draw_tasks(IMAGE, TASKS.subset(['sal']), dict(sal=torch.full((1, *SIZE), 0.5)))
    for end in (black, PAPER):
        assert count(sal[-60:, -(256 + 8) :], end) > 0  # the two ends of the bar
    assert count(sal[-60:, -(256 + 8) :], (96, 96, 96)) > 0  # and what is between


def test_errors_have_a_bar_unless_they_are_yes_or_no():
    """The bar ends in the darkest red, which is nowhere else: here nothing is as wrong as the limit."""
    darkest = (103, 0, 13)
    for task, has_bar in dict(edge=True, sal=True, semseg=False).items():
        maps_ = {task: constant(TASKS[task], 1)}
        panel = draw_tasks(IMAGE, TASKS.subset([task]), maps_, maps_)
        assert (count(panel, darkest) > 0) == has_bar, task


def test_overlays_say_which_colour_is_ignored():
    labels = {'semseg': constant(TASKS['semseg'], 1)}
    labels['semseg'][:, :2] = 255
    assert (
        count(draw_overlays(IMAGE, TASKS.subset(['semseg']), labels), (172, 123, 75)) > 0.05 * CELL
    )  # a stripe over the image


def test_labels_of_tasks_that_were_not_predicted_are_left_out():
    name, pred = next(iter(TASKS)), maps(1)
    alone = draw_tasks(IMAGE, TASKS, {name: pred[name]}, maps(1))
    assert np.array_equal(alone, draw_tasks(IMAGE, TASKS, {name: pred[name]}, {name: maps(1)[name]}))
    assert draw_tasks(IMAGE, TASKS, None, maps(1)).shape[1] > alone.shape[1]


def test_only_what_is_there_is_drawn():
    both = draw_tasks(IMAGE, TASKS, maps(1), maps(1))
    labels = draw_tasks(IMAGE, TASKS, None, maps(1))
    some = draw_tasks(IMAGE, TASKS, dict(depth=maps(1)['depth']))
    assert labels.shape[0] < both.shape[0]
    assert labels.shape[1] == both.shape[1]
    assert some.shape[1] < both.shape[1] / 2


def test_overlay_lets_the_image_through():
    labels = maps(0)
    clear = draw_overlays(IMAGE, TASKS, labels, opacity=0)
    assert count(clear, IMAGE[0, 0]) == (1 + len(TASKS)) * CELL
    solid = draw_overlays(IMAGE, TASKS, labels, opacity=1)
    assert count(solid, IMAGE[0, 0]) == CELL
    assert count(solid, (9, 9, 200)) >= CELL


def sample() -> MultiTaskDataSample:
    return MultiTaskDataSample(gt=PixelData(**maps(1)), pred=PixelData(**maps(1)), metainfo=dict(img_path='x.jpg'))


def test_file_or_backend(tmp_path):
    visualizer = VISUALIZERS.build(
        dict(
            type='MultiTaskVisualizer',
            name='a',
            save_dir=str(tmp_path),
            vis_backends=[dict(type='mmengine.LocalVisBackend')],
        )
    )
    with pytest.raises(ValueError, match='dataset_meta'):
        visualizer.add_datasample('x', IMAGE, sample())
    visualizer.dataset_meta = dict(tasks=TASKS.to_config())
    visualizer.add_datasample('x', IMAGE, sample(), step=3)
    visualizer.add_datasample('x', IMAGE, sample(), out_file=str(tmp_path / 'new' / 'y.png'))
    stored = sorted(tmp_path.rglob('*.png'), key=lambda path: path.name)
    assert [path.name for path in stored] == ['x_3.png', 'y.png']
    pictures = [np.asarray(Image.open(path)) for path in stored]
    np.testing.assert_array_equal(*pictures)
    assert visualizer.get_image().shape == pictures[0].shape


def test_parts_of_a_panel_can_be_left_out(tmp_path):
    def drawn(**options):
        visualizer = VISUALIZERS.build(dict(type='MultiTaskVisualizer', name=str(options)))
        visualizer.dataset_meta = dict(tasks=TASKS.to_config())
        path = tmp_path / 'x.png'
        visualizer.add_datasample('x', IMAGE, sample(), out_file=str(path), **options)
        return np.asarray(Image.open(path))

    pred, gt = maps(1), maps(1)
    np.testing.assert_array_equal(drawn(), draw_tasks(IMAGE, TASKS, pred, gt))
    np.testing.assert_array_equal(drawn(draw_gt=False), draw_tasks(IMAGE, TASKS, pred))
    np.testing.assert_array_equal(drawn(draw_pred=False), draw_tasks(IMAGE, TASKS, None, gt))
    np.testing.assert_array_equal(drawn(draw_error=False), draw_tasks(IMAGE, TASKS, pred, gt, draw_error=False))


def test_a_full_disk_is_told_once_and_ends_nothing(monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(multi_task_visualizer, 'print_log', lambda text, *more: said.append(text))
    backends = [dict(type='mmengine.LocalVisBackend')]
    visualizer = VISUALIZERS.build(
        dict(type='MultiTaskVisualizer', name='full', save_dir=str(tmp_path), vis_backends=backends)
    )

    def full(*args, **options):
        raise OSError(28, 'No space left on device', '/disk/x')

    for backend in visualizer._vis_backends.values():
        for name in ('add_config', 'add_scalar', 'add_scalars', 'add_image', 'close'):
            monkeypatch.setattr(backend, name, full)
    visualizer.add_scalar('a', 1.0)
    visualizer.add_scalars(dict(a=1.0), step=2)
    visualizer.add_image('a', IMAGE, 3)
    visualizer.add_config({})
    visualizer.close()
    (line,) = said
    assert 'left out from here on' in line
    assert 'Cannot write /disk/x: No space left' in line


def test_only_the_main_process_shows_what_it_does_not_write(monkeypatch, tmp_path):
    visualizer = VISUALIZERS.build(dict(type='MultiTaskVisualizer', name='ranks'))
    visualizer.dataset_meta = dict(tasks=TASKS.to_config())
    shown = []
    monkeypatch.setattr(visualizer, 'show', lambda panel, **options: shown.append(options))
    monkeypatch.setattr(visualizer, 'add_image', lambda name, panel, step: shown.append((name, step)))
    visualizer.add_datasample('x', IMAGE, sample(), show=True, wait_time=2, step=5)
    assert shown == [dict(win_name='x', wait_time=2), ('x', 5)]
    monkeypatch.setattr(multi_task_visualizer, 'is_main_process', lambda: False)
    visualizer.add_datasample('x', IMAGE, sample())
    visualizer.add_datasample('x', IMAGE, sample(), out_file=str(tmp_path / 'x.png'))
    assert len(shown) == 2
    assert (tmp_path / 'x.png').exists()


def test_errors_are_measured_where_they_can_be(monkeypatch):
    columns = []
    monkeypatch.setattr(multi_task_visualizer, 'compose', lambda made, size: columns.append(made))
    pred, gt = maps(1), maps(1)
    pred['semseg'][:, :3] = 2  # a quarter of the pixels is wrong
    gt['depth'] = gt['depth'] + 0.5
    gt['normals'][0], gt['normals'][1:] = 1, 0
    draw_tasks(IMAGE, TASKS, pred, gt)
    by_task = {column.cells[0].caption.split(':')[0]: column for column in columns[0][1:]}
    captions = {name: column.cells[-1].caption for name, column in by_task.items()}
    assert captions['semseg'] == 'semseg: error, 25% wrong'
    assert captions['depth'] == 'depth: error, mean 0.5 m'
    assert captions['normals'] == 'normals: error, mean 54.7 deg'
    assert captions['edge'] == 'edge: error, mean 0'
    bar = by_task['depth'].legends[-1]
    assert (bar.colormap, bar.low, bar.high, bar.unit, bar.title) == ('Reds', 0, 0.5, 'm', 'error')
    assert by_task['normals'].legends[-1].high == 60
    assert by_task['depth'].legends[0].colormap == 'viridis_r'
    small = {name: values[:, :6] for name, values in gt.items()}
    draw_tasks(IMAGE, TASKS.subset(['depth']), pred, small)
    assert columns[1][1].cells[-1].note == 'nothing to compare with'
    draw_tasks(IMAGE, TASKS.subset(['depth']), dict(depth=gt['depth']), dict(depth=gt['depth']))
    assert columns[2][1].legends[-1].high == 1e-6
