import argparse
import json
import re
import runpy
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from PIL import Image

from mlore_mm.apis import MultiTaskInferencer, inference_model
from mlore_mm.apis.inference import inferencer_options
from mlore_mm.apis.inference.inferencer_options import add_model_options, make_inferencer, parse_source
from mlore_mm.apis.inference.model_index import find_model, list_models
from mlore_mm.apis.inference.photos import PhotoError
from mlore_mm.apis.inference.result_writer import ImageResult, ResultWriter
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import ClassMapResult, DepthResult, NormalsResult, ProbabilityResult
from tests.shared import REPO

GENERATOR = np.random.default_rng(0)
PHOTO = GENERATOR.integers(0, 255, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def infer(tiny):
    return MultiTaskInferencer(*tiny, device='cpu', show_progress=False)


def test_typed_results(infer):
    result = infer(PHOTO)[0]
    assert list(result) == list(infer.tasks)
    kinds = {task: type(values) for task, values in result.items()}
    assert kinds == dict(
        semseg=ClassMapResult,
        depth=DepthResult,
        normals=NormalsResult,
        sal=ProbabilityResult,
        edge=ProbabilityResult,
    )
    sample = inference_model(infer.model, PHOTO)
    np.testing.assert_array_equal(result['semseg'].ids, sample.pred.semseg[0])
    assert result['semseg'].names == ('wall', 'floor', 'chair', 'lamp')
    assert result['semseg'].palette.shape == (4, 3)
    assert sum(result['semseg'].shares().values()) == pytest.approx(1)
    np.testing.assert_allclose(result['depth'].metres, sample.pred.depth[0], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(result['normals'].unit, axis=-1), np.ones((40, 60)), rtol=1e-5)
    assert 0 <= result['edge'].probability.min() <= result['edge'].probability.max() <= 1
    np.testing.assert_array_equal(result['sal'].mask(0.3), result['sal'].probability > 0.3)
    np.testing.assert_array_equal(result.image, PHOTO[..., ::-1])


def test_predictions_that_are_not_finite_are_said_once_a_picture(tiny, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mlore_mm.apis.inference.inferencer.print_log', lambda text, *more: said.append(text))
    infer = MultiTaskInferencer(*tiny, device='cpu', show_progress=False)
    with torch.no_grad():
        for name, parameter in infer.model.named_parameters():
            if '.depth.predict' in name:
                parameter.fill_(torch.nan)
    small = np.ascontiguousarray(PHOTO[:32, :48])
    results = infer([small, small], out_dir=tmp_path)
    assert [list(result.not_finite()) for result in results] == [['depth'], ['depth']]
    assert said == [f'picture 00000{i}: not finite: depth at 100.00% of the pixels.' for i in (0, 1)]
    index = json.loads((tmp_path / 'index.json').read_text())
    assert [entry['not_finite'] for entry in index['images']] == [dict(depth=1.0)] * 2


def test_as_the_inferencers_of_mmengine(infer, monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, 'show', lambda picture, title: shown.append(title))
    (sample,) = infer(PHOTO, return_datasamples=True, show=True)
    np.testing.assert_array_equal(sample.pred.semseg[0], infer(PHOTO)[0]['semseg'].ids)
    assert shown == ['picture 000000']
    assert repr(infer(PHOTO)[0]) == 'ImageResult(picture 000000, 60x40: semseg, depth, normals, sal, edge)'


def test_the_size_is_said_once(infer, monkeypatch):
    said = []
    monkeypatch.setattr('mlore_mm.apis.inference.inferencer.print_log', lambda text, *more: said.append(text))
    monkeypatch.setattr(infer, '_said_size', False)
    infer([PHOTO[:32, :48], np.tile(PHOTO, (4, 4, 1)), np.tile(PHOTO, (4, 4, 1))], tasks=['depth'])
    assert len(said) == 1
    assert '240x160 pixels and is reduced to 48 on its longest side' in said[0]


SIZES = [(100, 80), (30, 44), (30, 44), (200, 300), (1, 1), (64, 33)]


@pytest.mark.parametrize('batch_size', [1, 4])
def test_any_size_alone_or_in_a_batch(infer, batch_size):
    photos = [GENERATOR.integers(0, 255, (*size, 3), dtype=np.uint8) for size in SIZES]
    results = infer(photos, batch_size=batch_size, tasks=['depth'])
    for photo, result in zip(photos, results, strict=True):
        assert list(result) == ['depth']
        alone = infer(photo, tasks=['depth'])[0]['depth'].metres
        assert alone.shape == photo.shape[:2]
        np.testing.assert_allclose(result['depth'].metres, alone, rtol=1e-4, atol=1e-4)


def every_kind_of_photo() -> dict[str, tuple[Image.Image, dict]]:
    """File name to the picture to save there, and how."""
    rgb = Image.fromarray(PHOTO)
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side
    return {
        'portrait.jpg': (rgb.resize((60, 90)), {}),
        'turned.jpg': (rgb, dict(exif=turned)),
        'small.jpg': (rgb.resize((100, 80)), {}),
        'large.jpg': (rgb.resize((3000, 2000)), {}),
        'grey.png': (rgb.convert('L'), {}),
        'transparent.png': (rgb.convert('RGBA'), {}),
        'sixteen.png': (Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), {}),
        'print.jpg': (rgb.convert('CMYK'), {}),
    }


@pytest.mark.parametrize('name', every_kind_of_photo())
def test_files_of_every_kind(infer, tmp_path, name):
    image, options = every_kind_of_photo()[name]
    image.save(tmp_path / name, **options)
    result = infer(tmp_path / name)[0]
    width, height = (40, 60) if name == 'turned.jpg' else image.size
    assert result.image.shape == (height, width, 3)
    for task, values in result.items():
        assert values.values.shape[:2] == (height, width), task
        assert np.isfinite(values.values).all(), task


def test_files_and_index(infer, tiny, tmp_path):
    (tmp_path / 'photos').mkdir()
    for name in ('a', 'b'):
        Image.fromarray(PHOTO).save(tmp_path / 'photos' / f'{name}.png')
    (tmp_path / 'photos' / 'broken.png').write_bytes(b'no picture')
    with pytest.raises(PhotoError, match=r'broken.png is not a picture'):
        infer(tmp_path / 'photos', out_dir=tmp_path / 'stopped')
    out = tmp_path / 'out'
    results = infer(tmp_path / 'photos', out_dir=out, tasks=['depth', 'normals', 'semseg'], on_error='skip')
    index = json.loads((out / 'index.json').read_text())
    assert [image['name'] for image in index['images']] == ['a', 'b']
    assert list(index['tasks']) == ['semseg', 'depth', 'normals']
    assert index['failed'][0]['source'].endswith('broken.png')
    assert 'broken.png is not a picture' in index['failed'][0]['reason']
    assert (index['config'], index['checkpoint'], index['max_size']) == (*tiny, 48)
    assert json.loads((tmp_path / 'stopped' / 'index.json').read_text())['images'] != []
    entry = index['images'][0]
    assert entry['size'] == [40, 60]
    files = [entry['panel']] + [x[what] for x in entry['tasks'].values() for what in ('picture', 'raw')]
    assert all((out / file).is_file() for file in files)
    assert set(files) == set(results[0].files.values())

    depth = cv2.imread(str(out / entry['tasks']['depth']['raw']), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    np.testing.assert_allclose(depth, np.minimum(results[0]['depth'].metres * 1000, 65535), atol=0.51)
    normals = np.load(out / entry['tasks']['normals']['raw'])
    np.testing.assert_array_equal(normals, results[0]['normals'].unit)
    picture = np.asarray(Image.open(out / entry['tasks']['semseg']['picture']))
    np.testing.assert_array_equal(picture, results[0]['semseg'].palette[results[0]['semseg'].ids])
    assert entry['tasks']['depth']['summary']['max'] == pytest.approx(results[0]['depth'].metres.max(), abs=1e-5)

    infer(PHOTO, out_dir=tmp_path / 'raw', outputs=['raw'], tasks=['edge'])
    assert [x.name for x in (tmp_path / 'raw').iterdir() if x.is_dir()] == ['raw']


def test_windows_cover_what_is_larger_than_they_are(tiny, infer):
    windows = MultiTaskInferencer(*tiny, device='cpu', show_progress=False, max_size=None, slide=(32, 64))
    small = PHOTO[:30, :44]  # one window
    np.testing.assert_allclose(
        windows(small)[0]['edge'].probability, infer(small)[0]['edge'].probability, rtol=1e-4, atol=1e-5
    )
    assert windows(np.tile(PHOTO, (3, 3, 1)))[0]['depth'].metres.shape == (120, 180)
    assert windows.model.test_cfg == dict(infer.model.test_cfg, mode='slide', crop_size=(32, 64), stride=(21, 42))
    about = dict(config=tiny[0], checkpoint=tiny[1], max_size=None, slide=[32, 64])
    assert {key: windows._about[key] for key in about} == about
    assert infer._about['max_size'] == 48
    assert 'slide' not in infer._about
    windows._use_windows(96)
    assert windows.model.test_cfg['crop_size'] == (96, 96)
    with pytest.raises(ValueError, match='multiples of 32 pixels for this model, but got .32, 48.'):
        MultiTaskInferencer(*tiny, device='cpu', slide=True)
    windows.pipeline.train_size, windows.model.cfg.train_dataloader = None, None
    with pytest.raises(ValueError, match='No pipeline of the config names a size'):
        windows._use_windows(True)


def test_mixed_precision_stays_close(tiny, infer):
    amp = MultiTaskInferencer(*tiny, device='cpu', show_progress=False, amp=True)
    one, other = amp(PHOTO)[0]['sal'].probability, infer(PHOTO)[0]['sal'].probability
    assert one.dtype == np.float32
    assert np.abs(one - other).mean() < 0.1


def test_a_url(infer, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / 'a.png')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        result = infer(f'{url}/a.png', tasks=['depth'])[0]
        with pytest.raises(PhotoError, match='cannot be downloaded'):
            infer(f'{url}/lost.png')
        server.shutdown()
    assert result.name == 'a'
    np.testing.assert_array_equal(result.image, PHOTO)


def test_mistakes(tiny, infer):
    with pytest.raises(ValueError, match='neither a config file nor a model.*mlore_vitb_nyud'):
        MultiTaskInferencer('mlore_vitb_nyu')
    with pytest.raises(ValueError, match='No weights are published'):
        MultiTaskInferencer('mlore_vitb_nyud')
    assert 'mlore_vitb_nyud' in MultiTaskInferencer.list_models()
    with pytest.raises(ValueError, match=r"Unknown task \['depht'\]"):
        infer(PHOTO, tasks=['depht'])
    for wrong in (dict(on_error='ignore'), dict(batch_size=0)):
        with pytest.raises(ValueError, match="batch_size counts from 1 and on_error is 'raise' or 'skip'"):
            infer(PHOTO, **wrong)
    with pytest.raises(ValueError, match='Outputs are'):
        infer(PHOTO, out_dir='nowhere', outputs=['picture'])


def run_demo(monkeypatch, capsys, script: str, *args) -> str:
    monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
    try:
        runpy.run_path(str(REPO / 'demo' / script), run_name='__main__')
    except SystemExit as end:
        if end.code:
            raise
    return capsys.readouterr().out


def test_image_demo(tiny, tmp_path, monkeypatch, capsys):
    Image.fromarray(PHOTO).save(tmp_path / 'a.png')
    out = run_demo(
        *(monkeypatch, capsys, 'image_demo.py', tmp_path / 'a.png', *tiny),
        *('--out', tmp_path / 'out', '--tasks', 'depth', '--device', 'cpu', '--max-size', '32'),
    )
    assert re.search(r'1 picture\(s\) are in', out)
    assert (tmp_path / 'out' / 'panels' / 'a.png').is_file()


def test_video_demo(tiny, tmp_path, monkeypatch, capsys):
    writer = cv2.VideoWriter(str(tmp_path / 'in.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 8, (48, 32))
    for i in range(5):
        writer.write(np.full((32, 48, 3), 50 * i, np.uint8))
    writer.release()
    out = run_demo(
        *(monkeypatch, capsys, 'video_demo.py', tmp_path / 'in.avi', *tiny),
        *('--out', tmp_path / 'out.avi', '--tasks', 'depth', 'semseg', '--device', 'cpu', '--every', 2),
    )
    assert '3 frames' in out
    written = cv2.VideoCapture(str(tmp_path / 'out.avi'))
    assert written.get(cv2.CAP_PROP_FPS) == 4
    frames = []
    while (frame := written.read()[1]) is not None:
        frames.append(frame)
    assert len(frames) == 3
    assert frames[0].shape[1] > 2 * frames[0].shape[0]  # frame, classes and depth side by side


def test_deploy_changes_no_prediction(tiny, infer):
    folded = MultiTaskInferencer(*tiny, device='cpu', show_progress=False, deploy=True)
    for model, form in ((infer.model, False), (folded.model, True)):
        assert {block.deployed is not None for block in model.decode_head.blocks()} == {form}
    for task in infer.tasks:
        one, other = folded(PHOTO)[0][task].values, infer(PHOTO)[0][task].values
        torch.testing.assert_close(torch.from_numpy(one), torch.from_numpy(other), rtol=1e-3, atol=1e-3)


def test_models_of_the_index():
    with pytest.raises(ValueError, match=r'Similar: mlore_vitb_nyud, [\w-]+, [\w-]+\.$'):
        find_model('mlore_vitb_nyu')
    first = ', '.join(list_models()[:5])
    with pytest.raises(ValueError, match=f"'#' is neither .* Similar: {first}\\.$"):
        find_model('#')
    config, weights = find_model('mlore_vitb_nyud')
    assert (config, weights) == (str(REPO / 'configs/mlore/mlore_vitb_nyud.py'), None)
    assert find_model(config) == (config, None)


def parse(*words):
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    return parser.parse_args(['config.py', *words])


@pytest.mark.parametrize(
    ('words', 'changed'),
    [
        ((), {}),
        (('a.pth', '--amp', '--deploy', '--compile'), dict(weights='a.pth', amp=True, deploy=True, compile=True)),
        (('--device', 'cpu', '--dtype', 'bf16'), dict(device='cpu', dtype='bf16')),
        (('--max-size', 'NONE'), dict(max_size=None)),
        (('--max-size', '640'), dict(max_size=640)),
        (('--slide',), dict(slide=True)),
        (('--slide', '64'), dict(slide=(64, 64))),
        (('--slide', '64', '96'), dict(slide=(64, 96))),
        (('--cfg-options', 'a.b=1'), dict(cfg_options={'a.b': 1})),
    ],
)
def test_options_reach_the_inferencer(monkeypatch, words, changed):
    default = dict(device=None, amp=False, dtype=None, deploy=False, compile=False, max_size='train', slide=False)
    wanted = {**default, 'weights': None, 'cfg_options': None, **changed}
    monkeypatch.setattr(inferencer_options, 'MultiTaskInferencer', lambda *args, **options: (args, options))
    weights = wanted.pop('weights')
    assert make_inferencer(parse(*words)) == (('config.py', weights), wanted)
    assert (parse().tasks, parse().batch_size) == (None, 1)


def test_sources_of_the_command_line():
    assert [parse_source(text) for text in ('0', '12', '0.png', 'a')] == [0, 12, '0.png', 'a']


def test_large_panels_are_thinned_out(infer, monkeypatch):
    """Of 1100 x 40 pixels every second one, the photo by the mean of its areas."""
    drawn = []
    monkeypatch.setattr(
        'mlore_mm.apis.inference.result_writer.draw_tasks', lambda image, tasks, maps: drawn.append((image, maps))
    )
    (small,) = infer(PHOTO, tasks=['depth'])
    small.panel()
    photo = np.zeros((40, 1100, 3), np.uint8)
    photo[:, ::2] = 100
    sample = MultiTaskDataSample(pred=PixelData(depth=torch.arange(1100.0).expand(1, 40, 1100)))
    ImageResult('a', 'a', photo, sample, small.tasks).panel()
    (plain, _), (image, maps) = drawn
    assert plain is small.image
    assert (image.shape, set(image.flatten().tolist())) == ((20, 550, 3), {50})
    np.testing.assert_array_equal(maps['depth'], np.broadcast_to(np.arange(0, 1100, 2), (1, 20, 550)))


def test_progress_is_shown_unless_it_is_not_wanted(infer, monkeypatch, capfd):
    for show, totals in ((False, 0), (True, 1)):
        monkeypatch.setattr(infer, 'show_progress', show)
        infer([PHOTO[:32, :48]] * 3, tasks=['depth'], batch_size=2)
        said = ''.join(capfd.readouterr())
        assert said.count('3/3') >= totals
        assert ('inference' in said) is show


def test_an_index_without_files(infer, tmp_path):
    writer = ResultWriter(tmp_path, outputs=(), about=dict(a=1))
    writer.write(infer(PHOTO, tasks=['depth'])[0])
    writer.failed('b.png', 'damaged')
    assert writer.close() == tmp_path / 'index.json'
    index = json.loads((tmp_path / 'index.json').read_text())
    assert (index['a'], index['failed']) == (1, [dict(source='b.png', reason='damaged')])
    (entry,) = index['images']
    assert (entry['name'], entry['source'], entry['size']) == ('000000', 'picture 000000', [40, 60])
    assert (list(entry['tasks']['depth']), 'panel' in entry, 'not_finite' in entry) == (
        ['kind', 'summary'],
        False,
        False,
    )
    assert [path.name for path in tmp_path.iterdir()] == ['index.json']
