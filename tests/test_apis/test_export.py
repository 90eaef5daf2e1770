import io
import json
import runpy
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mlore_mm.apis import inference_model, init_model
from mlore_mm.apis.deploy import export, int8
from mlore_mm.apis.deploy.export import (
    SUFFIXES,
    ExportModel,
    _example_size,
    _exportable,
    _input_size,
    describe,
    export_model,
    metadata_file,
    read_metadata,
)
from mlore_mm.apis.deploy.export_check import (
    TOLERANCE,
    ExportCheck,
    _deviation,
    _median_time,
    _run,
    check_export,
    letterbox,
    load_exported,
    photos_of_test_set,
)
from mlore_mm.tasks import TaskSet
from tests.shared import REPO
from tests.tiny import SINGLE_STAGE, write_rooms, write_tiny

PHOTOS = [np.random.default_rng(i).integers(0, 255, (40, 70, 3), dtype=np.uint8) for i in range(2)]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp('export'), more=SINGLE_STAGE)


@pytest.fixture(scope='module')
def model(files):
    return init_model(*files)


@pytest.fixture(scope='module')
def onnx_file(model, tmp_path_factory):
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name, reason='export to ONNX needs it: pip install onnx onnxscript onnxruntime')
    path = tmp_path_factory.mktemp('onnx') / 'model.onnx'
    export_model(model, path, 'onnx', tasks=['semseg', 'depth'], dynamic_size=True)
    return path


def test_what_is_exported_is_what_the_inferencer_computes(model):
    photo = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    sample = inference_model(model, photo)
    image = letterbox(photo, (32, 64), model.data_preprocessor.mean.flatten().tolist())
    image = image.roll(-8, dims=-1)  # the pipeline pads to a multiple of the divisor at the right, not around
    with torch.no_grad():
        maps = ExportModel(model, list(model.tasks), decoded=True)(image)
    for name, values in zip(model.tasks, maps, strict=True):
        torch.testing.assert_close(values[0, ..., :48], sample.pred.get(name), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('kind', ['torchscript', pytest.param('torch_export', marks=pytest.mark.slow)])
def test_the_formats_of_pytorch(model, tmp_path, kind):
    path = tmp_path / f'model{SUFFIXES[kind]}'
    metadata = export_model(model, path, kind, tasks=['normals'], decoded=kind == 'torch_export')
    check = check_export(path, kind, model, metadata, PHOTOS, repeats=1)
    assert check.passed, check
    assert check.shapes == ((1, 3, 32, 64), (2, 3, 32, 64))
    assert list(check.deviations) == ['normals']
    assert read_metadata(path, kind) == metadata
    metadata_file(path).unlink()
    assert read_metadata(path, kind) == metadata
    assert all(block.form == 'auto' for block in model.modules() if hasattr(block, 'form'))


@pytest.mark.slow
def test_onnx_with_open_batch_and_size(model, onnx_file):
    metadata = read_metadata(onnx_file, 'onnx')
    check = check_export(onnx_file, 'onnx', model, metadata, PHOTOS, repeats=1)
    assert check.passed, check
    assert check.shapes == ((1, 3, 32, 64), (2, 3, 32, 64), (1, 3, 64, 96))


@pytest.mark.slow
def test_metadata_says_all_that_is_needed(onnx_file):
    metadata = read_metadata(onnx_file, 'onnx')
    picture = metadata['input']
    assert (picture['channels'], picture['range'], picture['size']) == ('RGB', [0, 255], [32, 64])
    assert picture['normalisation']['inside']
    assert picture['pad_value'] == pytest.approx([123.675, 116.28, 103.53])
    semseg, depth = metadata['tasks']
    assert (semseg['name'], semseg['kind'], semseg['channels']) == ('semseg', 'class_map', 4)
    assert semseg['classes'] == ['wall', 'floor', 'chair', 'lamp']
    assert semseg['palette'][1] == [128, 0, 0]
    assert (depth['kind'], depth['unit']) == ('metres', 'm')


@pytest.mark.slow
def test_demo_without_pytorch(model, onnx_file, tmp_path):
    Image.fromarray(PHOTOS[0]).save(tmp_path / 'photo.png')
    blocked = 'import sys; sys.modules.update(dict.fromkeys(["torch", "mmengine", "mlore_mm", "cv2"])); '
    script = f'{blocked}import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])'
    command = [sys.executable, '-c', script, REPO / 'demo' / 'onnx_demo.py', onnx_file, tmp_path / 'photo.png']
    subprocess.run([*map(str, command), str(tmp_path / 'out')], check=True, cwd=tmp_path)
    assert Image.open(tmp_path / 'out' / 'semseg.png').size == (70, 40)
    depth = np.load(tmp_path / 'out' / 'depth.npy')
    image = letterbox(PHOTOS[0][..., ::-1], (32, 64), model.data_preprocessor.mean.flatten().tolist())
    with torch.no_grad():
        expected = ExportModel(model, ['depth'])(image)[0][0, 0]
    inside = torch.nn.functional.interpolate(expected[None, None, :, 4:60], (40, 70), mode='bilinear')[0, 0]
    np.testing.assert_allclose(depth, inside, atol=0.05 * float(expected.max() - expected.min()) + 1e-3)


@pytest.mark.slow
def test_demo_of_several_photos(onnx_file, tmp_path):
    for index, size in enumerate([(40, 70), (200, 90)]):
        Image.fromarray(np.random.default_rng(index).integers(0, 255, (*size, 3), np.uint8)).save(
            tmp_path / f'{index}.png'
        )

    def run(*args):
        command = [sys.executable, str(REPO / 'demo' / 'onnx_demo.py'), str(onnx_file), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    both = run(tmp_path / '0.png', tmp_path / '1.png', tmp_path / 'both')
    assert both.returncode == 0, both.stderr
    for index, size in enumerate([(70, 40), (90, 200)]):
        assert Image.open(tmp_path / 'both' / f'{index}_depth.png').size == size
        assert np.load(tmp_path / 'both' / f'{index}_depth.npy').shape == size[::-1]
    for index in (0, 1, 0):
        assert run(tmp_path / f'{index}.png', tmp_path / 'one').returncode == 0
    assert np.load(tmp_path / 'one' / 'depth.npy').shape == (40, 70)
    assert np.load(tmp_path / 'one' / '1_depth.npy').shape == (200, 90)
    missing = run(tmp_path / 'none.png', tmp_path / 'out')
    assert (missing.returncode, missing.stderr) == (1, f'error: There is no file {tmp_path / "none.png"}.\n')


@pytest.mark.parametrize('name', ['../planted', 'a/b', '/etc/a', '', 'a.b', 'a\0', None, 5])
def test_a_task_of_a_foreign_file_writes_nowhere_else(tmp_path, name):
    for package in ('onnx', 'onnxruntime'):
        pytest.importorskip(package, reason='needs ONNX')
    from onnx import TensorProto, helper, save

    ports = [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 3, 32, 32]) for x in ('image', 'out')]
    graph = helper.make_graph([helper.make_node('Identity', ['image'], ['out'])], 'g', ports[:1], ports[1:])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8)
    task = dict(name=name, kind='class_map', palette=[[0, 0, 0]] * 3, unit='')
    about = dict(input=dict(size=[32, 32], pad_value=[0, 0, 0]), tasks=[task])
    helper.set_model_props(file, dict(mlore_mm=json.dumps(about)))
    save(file, str(tmp_path / 'model.onnx'))
    Image.new('RGB', (32, 32)).save(tmp_path / 'photo.png')
    (tmp_path / 'in').mkdir()
    command = [sys.executable, REPO / 'demo' / 'onnx_demo.py', 'model.onnx', 'photo.png', 'in/out']
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert 'expected letters, digits, _ and -' in done.stderr
    assert sorted(x.name for x in tmp_path.rglob('*')) == ['in', 'model.onnx', 'photo.png']
    with pytest.raises(ValueError, match='Names of tasks are made of letters'):
        read_metadata(tmp_path / 'model.onnx', 'onnx')
    with pytest.raises(ValueError, match='Names of tasks are made of letters'):
        TaskSet({name: dict(type='Depth')})


class Intruder:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        import os

        return os.mkdir, (self.folder,)


@pytest.mark.parametrize('kind', ['torchscript', 'torch_export'])
def test_metadata_are_read_without_running_the_file(tmp_path, kind):
    buffer, path = io.BytesIO(), tmp_path / f'model{SUFFIXES[kind]}'
    torch.save(Intruder(tmp_path / 'ran_code'), buffer)
    with zipfile.ZipFile(path, 'w') as archive:
        for member in ('model/data.pkl', 'model/data/sample_inputs/model.pt', 'model/byteorder'):
            archive.writestr(member, buffer.getvalue())
        archive.writestr('model/extra/mlore_mm.json', json.dumps(dict(tasks=[dict(name='depth')])))
    assert read_metadata(path, kind) == dict(tasks=[dict(name='depth')])
    metadata_file(path).write_text(json.dumps(dict(tasks=[dict(name='edge')])))
    assert read_metadata(path, kind) == dict(tasks=[dict(name='edge')])
    assert not (tmp_path / 'ran_code').exists()


@pytest.mark.parametrize('kind', SUFFIXES)
@pytest.mark.parametrize('content', [b'', b'no model', b'PK\x03\x04 cut', b'{"a": 1}'])
def test_damaged_files_are_named(tmp_path, kind, content):
    path = tmp_path / f'model{SUFFIXES[kind]}'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'model{SUFFIXES[kind]} cannot be'):
        read_metadata(path, kind)
    if kind != 'onnx':
        with pytest.raises(ValueError, match=f'model{SUFFIXES[kind]} cannot be loaded'):
            load_exported(path, kind)


def test_a_deviation_fails_the_check():
    assert ExportCheck(dict(depth=9e-4), 1, 1, 1, ()).passed
    assert ExportCheck(dict(depth=TOLERANCE), 1, 1, 1, ()).passed
    assert TOLERANCE == 1e-3
    assert not ExportCheck(dict(depth=9e-4, edge=2e-3), 1, 1, 1, ()).passed
    assert not ExportCheck(dict(depth=float('inf')), 1, 1, 1, ()).passed


def test_mistakes(model, tmp_path):
    with pytest.raises(ValueError, match='Formats are onnx'):
        export_model(model, tmp_path / 'a', 'tensorrt')
    with pytest.raises(ValueError, match='multiples of 32'):
        export_model(model, tmp_path / 'a', 'torchscript', size=(30, 64))
    with pytest.raises(ValueError, match='fixes height and width'):
        export_model(model, tmp_path / 'a', 'torchscript', dynamic_size=True)
    with pytest.raises(ValueError, match='Unknown task'):
        export_model(model, tmp_path / 'a', 'torchscript', tasks=['flow'])


def test_command_line(files, tmp_path, monkeypatch, capsys):
    Image.fromarray(PHOTOS[0]).save(tmp_path / 'photo.png')
    args = ['--format', 'torchscript', '--tasks', 'depth', '--images', str(tmp_path / 'photo.png')]
    args += ['--out', str(tmp_path / 'model.torchscript')]
    monkeypatch.setattr(sys, 'argv', ['export.py', *files, *args])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPO / 'tools' / 'deploy' / 'export.py'), run_name='__main__')
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert 'largest deviation from PyTorch on 1 photo(s)' in out
    assert json.dumps(read_metadata(tmp_path / 'model.torchscript', 'torchscript'))


def test_what_the_file_says_about_the_model(model):
    about = describe(model, ['semseg', 'depth', 'edge'], (32, 64), True, False)
    picture = about['input']
    assert (about['config'], about['outputs'], picture['size'], picture['dynamic_size']) == (
        'tiny.py',
        'scores',
        [32, 64],
        True,
    )
    assert (picture['divisor'], picture['layout'], picture['dtype'], picture['name']) == (
        32,
        'NCHW',
        'float32',
        'image',
    )
    assert picture['pad_value'] == picture['normalisation']['mean'] == pytest.approx([123.675, 116.28, 103.53])
    assert picture['normalisation']['std'] == pytest.approx([58.395, 57.12, 57.375])
    semseg, depth, edge = about['tasks']
    assert semseg['classes'] == ['wall', 'floor', 'chair', 'lamp']
    assert (semseg['palette'][1], semseg['channels'], semseg['kind']) == ([128, 0, 0], 4, 'class_map')
    assert depth == dict(name='depth', type='Depth', kind='metres', channels=1, unit='m')
    assert (edge['kind'], 'classes' in edge) == ('probability', False)
    assert describe(model, [], (32, 64), False, True)['outputs'] == 'predictions'


def test_sizes_of_the_input(model):
    assert _input_size(model, None) == (32, 64)  # (32, 48) of the pipeline, up to multiples of 32
    assert _input_size(model, [64, 32]) == (64, 32)
    for wrong in ((0, 32), (32, 33)):
        with pytest.raises(ValueError, match='multiples of 32'):
            _input_size(model, wrong)
    picture = dict(size=[32, 64], divisor=16, dynamic_size=True)
    assert _example_size(picture) == (64, 112)
    assert _example_size(dict(picture, dynamic_size=False)) == (32, 64)


def test_the_copy_that_is_exported_computes_in_the_wide_form(model):
    whole = _exportable(model.train())
    assert (whole.training, model.training) == (False, True)
    model.eval()
    forms = [{x.form for x in part.modules() if hasattr(x, 'form')} for part in (whole, model)]
    assert forms == [{'wide'}, {'auto'}]
    whole.switch_to_deploy()
    with pytest.raises(ValueError, match='switched to its folded form, which cannot be exported'):
        _exportable(whole)


def test_a_model_that_cannot_be_exported_says_why(monkeypatch):
    def refuse(*args, **options):
        raise RuntimeError('a reason\nand more') if options['dynamic_shapes'][0].keys() == {0} else KeyError()

    monkeypatch.setattr(torch.export, 'export', refuse)
    with pytest.raises(ValueError, match='refused the model: a reason A part of this model'):
        export._export(torch.nn.Identity(), torch.zeros(1), False)
    with pytest.raises(ValueError, match='refused the model: KeyError Leave out --dynamic-size'):
        export._export(torch.nn.Identity(), torch.zeros(1), True)


def test_metadata_of_another_form(tmp_path):
    path = tmp_path / 'a.pt2'
    metadata_file(path).write_text('[1]')
    with pytest.raises(ValueError, match='a.pt2 holds metadata of another kind'):
        read_metadata(path, 'torch_export')
    metadata_file(path).unlink()
    for name, text in (('other.json', '{}'), ('mlore_mm.json', '1' * 10_000_001)):
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f'x/{name}', text)
        with pytest.raises(ValueError, match='it has no member mlore_mm.json'):
            read_metadata(path, 'torch_export')


@pytest.mark.parametrize(
    ('size', 'box'),
    [
        ((4, 8), (2, 2, 4, 8)),
        ((3, 8), (2, 2, 3, 8)),
        ((16, 6), (0, 4, 8, 3)),
        ((4, 48), (3, 0, 1, 12)),
        ((1, 100), (3, 0, 1, 12)),
    ],
)
def test_letters_fit_their_box(size, box):
    """A white picture in a box of 8 x 12, from the top left, and only made smaller."""
    out = letterbox(np.full((*size, 3), (30, 20, 10), np.uint8), (8, 12), [1.0, 2.0, 3.0])
    top, left, height, width = box
    wanted = torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1).repeat(1, 1, 8, 12)
    wanted[:, :, top : top + height, left : left + width] = torch.tensor([10.0, 20, 30]).view(3, 1, 1)
    torch.testing.assert_close(out, wanted)


def test_deviations_by_hand():
    ones = torch.ones(2, 2)
    assert _deviation(ones, ones + torch.tensor([[0, 0.5], [0, -0.75]])) == 0.75
    assert _deviation(ones.long(), torch.tensor([[1, 1], [2, 1]])) == 0.25
    assert _deviation(ones, ones * float('nan')) == float('inf')
    with pytest.raises(ValueError, match=r'returned \(1, 2\) where the model gives \(2, 2\)'):
        _deviation(ones, ones[:1])


def test_times_are_medians_after_a_first_call(monkeypatch):
    clock, calls = iter([0, 9, 10, 11, 20, 22]), []
    monkeypatch.setattr('mlore_mm.apis.deploy.export_check.time.perf_counter', lambda: next(clock))
    assert _median_time(lambda: calls.append(1), 3) == 2
    assert len(calls) == 4


def test_a_file_that_does_not_run_is_named():
    def fails(batch):
        raise KeyError('  no\nmore')

    with pytest.raises(ValueError, match=r"does not run on \(1, 3, 2, 2\): '  no"):
        _run(fails, torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize('outputs', ['scores', 'predictions'])
@pytest.mark.parametrize('open_size', [True, False])
def test_what_is_compared(model, monkeypatch, outputs, open_size):
    """Every photo, two at a time, and another size; classes are compared as classes."""
    ran, same = [], ExportModel(model, ['semseg', 'edge'], outputs == 'predictions')

    def run(batch):
        ran.append(tuple(batch.shape))
        semseg, edge = same(batch)
        return semseg, edge + 0.25

    monkeypatch.setattr('mlore_mm.apis.deploy.export_check.load_exported', lambda path, kind: run)
    about = describe(model, ['semseg', 'edge'], (32, 64), open_size, outputs == 'predictions')
    with torch.no_grad():
        check = check_export('a', 'onnx', model, about, PHOTOS, repeats=2)
    assert check.deviations == dict(semseg=0, edge=pytest.approx(0.25, abs=1e-6))
    shapes = [(1, 3, 32, 64)] * 2 + [(2, 3, 32, 64)] + [(1, 3, 64, 96)] * open_size
    assert ran == shapes + [(1, 3, 32, 64)] * 3  # for the time: once before, and twice
    assert (check.images, check.shapes) == (2, tuple(dict.fromkeys(shapes)))
    assert check.seconds > 0 < check.exported_seconds


def test_packages_that_are_missing_are_named(model, tmp_path, monkeypatch):
    for module, call in (
        ('export', lambda: export_model(model, tmp_path / 'a.onnx')),
        ('export_check', lambda: load_exported(tmp_path / 'a.onnx', 'onnx')),
        ('int8', lambda: int8.quantise('a', 'b', ['c'])),
    ):
        monkeypatch.setattr(f'mlore_mm.apis.deploy.{module}.find_spec', lambda name: None)
        with pytest.raises(ValueError, match='pip install onnx'):
            call()


def test_photos_come_from_the_test_set(tmp_path):
    rooms = write_rooms(tmp_path / 'rooms', 3)
    cfg = init_model(write_tiny(tmp_path, rooms)[0]).cfg
    assert photos_of_test_set(cfg, 2) == [f'{rooms}/images/00{i}.png' for i in range(2)]
    assert len(photos_of_test_set(cfg, 9)) == 3
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'lost')
    with pytest.raises(ValueError, match='taken from the test set by default. '):
        photos_of_test_set(cfg, 1)
