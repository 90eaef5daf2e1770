"""The command line that scores folders of boundary predictions."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mlore_mm.apis.analysis import eval_boundary as module
from mlore_mm.apis.analysis.eval_boundary import _find, eval_boundary
from tests.shared import REPO, shared_path
from tests.test_evaluation.boundary_reference import COMPACT, read_expected

RUN = dict(pascal_context='0.0075', nyud='0.011')


def run(*args):
    """Call the tool as its file does."""
    import runpy

    module = runpy.run_path(str(REPO / 'tools' / 'analysis_tools' / 'eval_boundary.py'))
    module['main']([str(arg) for arg in args])


@pytest.fixture
def compact(tmp_path):
    """Folders of the three PASCAL-Context style references."""
    for name in ('a01', 'a06', 'a09'):
        for kind, suffix in (('prediction', '.png'), ('labels', '.mat')):
            (tmp_path / kind).mkdir(exist_ok=True)
            shutil.copyfile(COMPACT / f'{name}_{kind}{suffix}', tmp_path / kind / f'{name}{suffix}')
    return tmp_path


def test_counts_and_plot_are_written(compact, capsys):
    out = compact / 'new' / 'result.json'
    pascal = (compact / 'prediction', compact / 'labels', '--dataset', 'pascal_context')
    run(*pascal, '--out', out, '--workers', 0)
    result = json.loads(out.read_text())
    expected = read_expected(COMPACT)
    assert list(result['images']) == ['a01', 'a06', 'a09']
    for name, counts in result['images'].items():
        reference = expected['images'][name]['counts']['0.0075']
        assert counts['cntR'] == counts['cntP'] == reference['max_matching']
        assert counts['sumP'] == reference['sumP']
    assert result['thresholds'] == expected['thresholds']
    assert (result['max_dist'], result['images_scored'], len(result['F'])) == (0.0075, 3, 101)
    best = result['thresholds'].index(result['ods']['threshold'])
    precision, recall = result['precision'][best], result['recall'][best]
    assert (precision, recall) == pytest.approx((result['ods']['precision'], result['ods']['recall']))
    assert result['odsF'] == pytest.approx(200 * precision * recall / (precision + recall)) == 100 * max(result['F'])
    assert 0 < result['ois']['precision'] <= 1
    assert 0 < result['ois']['recall'] <= 1
    assert f'odsF {result["odsF"]:.2f}' in capsys.readouterr().out
    assert Image.open(out.with_suffix('.png')).size == (750, 750)

    one = compact / 'one.json'
    (compact / 'list.txt').write_text('a09\n')
    run(*pascal, '--out', one, '--workers', 0, '--list', compact / 'list.txt', '--max-dist', '0.011')
    assert (
        json.loads(one.read_text())['images']['a09']['cntR']
        == (expected['images']['a09']['counts']['0.011']['max_matching'])
    )


@pytest.mark.parametrize('dataset', list(RUN))
def test_full_reference(tmp_path, dataset):
    reference = shared_path('golden/boundary')
    group = dict(pascal_context='pascal', nyud='nyud')[dataset]
    expected = read_expected(reference)['results'][group]
    (tmp_path / 'list.txt').write_text('\n'.join(expected['images']))
    run(
        reference / 'pred', reference / 'gt', '--dataset', dataset, '--out', tmp_path / 'result.json', '--workers', 2,
        '--list', tmp_path / 'list.txt',
    )  # fmt: skip
    result = json.loads((tmp_path / 'result.json').read_text())
    scores = expected[RUN[dataset]]['max_matching']
    for key, name in (('odsF', 'ods_f'), ('oisF', 'ois_f'), ('AP', 'ap')):
        assert result[key] == pytest.approx(100 * scores[name], abs=1e-4)


def test_other_sizes_are_refused_or_resized(compact, capsys):
    path = compact / 'prediction' / 'a06.png'
    with Image.open(path) as image:
        image.resize((80, 100)).save(path)
    args = (compact / 'prediction', compact / 'labels', '--dataset', 'pascal_context', '--workers', 0)
    with pytest.raises(SystemExit):
        run(*args, '--out', compact / 'r.json')
    assert 'are (40, 50) and the prediction (100, 80)' in capsys.readouterr().err
    run(*args, '--out', compact / 'r.json', '--resize')
    assert json.loads((compact / 'r.json').read_text())['images']['a06']['sumR'][0] > 0


def test_missing_files_are_named(compact, capsys):
    def message(*args):
        with pytest.raises(SystemExit):
            run(*args, '--workers', 0, '--out', compact / 'r.json')
        return capsys.readouterr().err

    pred, gt = compact / 'prediction', compact / 'labels'
    (gt / 'a01.mat').unlink()
    assert '1 of 3 images have no .mat file' in message(pred, gt, '--dataset', 'pascal_context')
    assert '3 of 3 images have no .png file' in message(pred, gt, '--dataset', 'nyud')
    assert 'No folder' in message(pred, gt / 'none', '--dataset', 'nyud')
    assert 'No prediction <name>.png' in message(gt, gt, '--dataset', 'pascal_context')
    savemat(gt / 'a01.mat', dict(map=np.zeros((4, 4))))
    assert "no variable `LabelMap`; it holds ['map']" in message(pred, gt, '--dataset', 'pascal_context')
    Image.new('RGB', (50, 40)).save(pred / 'a01.png')
    assert 'must be an 8-bit grey image' in message(pred, gt, '--dataset', 'pascal_context')


def test_missing_predictions_end_with_an_error_unless_allowed(compact, capsys):
    (compact / 'prediction' / 'a06.png').unlink()
    args = (compact / 'prediction', compact / 'labels', '--dataset', 'pascal_context', '--workers', 0)
    with pytest.raises(SystemExit) as end:
        run(*args, '--out', compact / 'r.json')
    assert end.value.code
    error = capsys.readouterr().err
    assert '1 of 3 images have no prediction in' in error
    assert ': a06.' in error
    assert '--list FILE' in error
    assert '--allow-missing' in error
    run(*args, '--out', compact / 'r.json', '--allow-missing')
    assert list(json.loads((compact / 'r.json').read_text())['images']) == ['a01', 'a09']


def test_masks_of_0_and_1_are_named(compact, capsys):
    Image.fromarray((np.eye(40, 50) > 0).astype(np.uint8)).save(compact / 'prediction' / 'a06.png')
    args = (compact / 'prediction', compact / 'labels', '--dataset', 'pascal_context', '--workers', 0)
    with pytest.raises(SystemExit):
        run(*args, '--out', compact / 'r.json')
    error = capsys.readouterr().err
    assert 'a06.png holds 0 and 1 only' in error
    assert '--skip-broken' in error


@pytest.mark.parametrize('kind', ['prediction', 'labels'])
def test_broken_files_are_left_out_on_request(compact, kind):
    (path,) = (compact / kind).glob('a06.*')
    path.write_bytes(path.read_bytes()[:60])
    args = (compact / 'prediction', compact / 'labels', '--dataset', 'pascal_context', '--workers', 0)
    with pytest.raises(SystemExit):
        run(*args, '--out', compact / 'r.json')
    run(*args, '--out', compact / 'r.json', '--skip-broken')
    assert list(json.loads((compact / 'r.json').read_text())['images']) == ['a01', 'a09']


def test_folders_below_the_folder(compact):
    for folder in ('prediction', 'labels'):
        (compact / folder / 'scene').mkdir()
        (path,) = (compact / folder).glob('a06.*')
        path.rename(compact / folder / 'scene' / path.name)
    args = (compact / 'prediction', compact / 'labels', '--dataset', 'pascal_context', '--workers', 0)
    run(*args, '--out', compact / 'r.json')
    assert list(json.loads((compact / 'r.json').read_text())['images']) == ['a01', 'a09', 'scene/a06']


def test_which_images_are_scored(tmp_path, monkeypatch):
    """Predictions of a, b and x; ground truths of a to h."""
    for folder, names in (('pred', 'abx'), ('gt', 'abcdefgh')):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f'{name}.png').touch()

    def find(names=None, allow=False):
        return _find(tmp_path / 'pred', tmp_path / 'gt', '.png', names, allow)

    assert find(['b', 'a']) == ['a', 'b']
    said = []
    monkeypatch.setattr(module, 'print_log', lambda text, *more: said.append(text))
    assert find(['b', 'c'], allow=True) == ['b']
    assert said == [f'1 of 2 images have no prediction in {tmp_path}/pred: c. They are not scored.']
    with pytest.raises(ValueError, match=r'1 of 2 images have no .png file in .*pred: c\. .*there are 3 .png files'):
        find(['b', 'c'])
    with pytest.raises(ValueError, match=r'6 of 8 images have no prediction in .*: c, d, e, f, g, \.\.\.\.'):
        find()
    with pytest.raises(ValueError, match=r'1 of 3 images have no .png file in .*gt: x\.'):
        find(allow=True)
    with pytest.raises(ValueError, match='No prediction'):
        find([])
    for name in 'ah':
        (tmp_path / 'gt' / f'{name}.png').unlink()
    with pytest.raises(ValueError, match=r'5 of 6 images have no prediction in .*: c, d, e, f, g\. --list'):
        find()


def test_progress_and_nothing_that_can_be_read(compact):
    said = []
    eval_boundary(
        compact / 'prediction', compact / 'labels', 'pascal_context', workers=0, names=['a01'],
        on_progress=lambda *numbers: said.append(numbers),
    )  # fmt: skip
    assert said[-1] == (1, 1)
    (compact / 'prediction' / 'a01.png').write_bytes(b'')
    args = (compact / 'prediction', compact / 'labels', 'pascal_context')
    with pytest.raises(ValueError, match='None of the 1 images can be read'):
        eval_boundary(*args, workers=0, names=['a01'], skip_broken=True)
    with pytest.raises(ValueError, match="data set 'bsds' unknown; choose one of"):
        eval_boundary(*args[:2], 'bsds')
