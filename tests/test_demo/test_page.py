"""The demo page without a browser: limits, messages, numbers under the pointer, files."""

import base64
import io
import json
import os
import re
import shutil
import time
import zipfile
from html import unescape

import numpy as np
import pytest
from PIL import Image

from mlore_mm.apis import MultiTaskInferencer
from mlore_mm.apis.inference.photos import PhotoError
from mlore_mm.tasks.results import NumbersResult
from photo_page.page import PhotoPage
from photo_page.uploads import REFUSED, UploadFolder
from photo_page.viewer import hover_values, message_html, viewer_html
from tests.tiny import write_tiny


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    config, checkpoint = write_tiny(tmp_path_factory.mktemp('page'))
    infer = MultiTaskInferencer(config, checkpoint, device='cpu', show_progress=False)
    uploads = UploadFolder(tmp_path_factory.mktemp('uploads'))
    return PhotoPage(dict(tiny=infer), max_bytes=20_000, max_pixels=10_000, uploads=uploads)


@pytest.fixture
def folder(page):
    """Where one upload is put."""
    (page.uploads.root / 'upload').mkdir(exist_ok=True)
    yield page.uploads.root / 'upload'
    page.uploads.tidy()
    shutil.rmtree(page.uploads.root / 'upload')


@pytest.fixture
def photo(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / 'my kitchen <1>.png')
    return folder / 'my kitchen <1>.png'


def decode(data_url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data_url.partition(',')[2])))).astype(float)


def figures(text: str) -> dict:
    """Task to (how to read, values) of the piece of a page."""
    pattern = r'<figure data-task="(\w+)" data-reading="([^"]*)" data-values="([^"]*)"'
    return {task: (json.loads(unescape(how)), decode(url)) for task, how, url in re.findall(pattern, text)}


def test_numbers_under_the_pointer_are_those_of_the_prediction(page, photo):
    result = page.predict('tiny', page.tasks('tiny'), photo)
    shown = figures(viewer_html(result))
    assert list(shown) == list(result)
    for task, (how, values) in shown.items():
        number = 256 * values[..., 0] + values[..., 1]
        if how['kind'] == 'class':
            assert np.array_equal(number, result[task].ids)
            assert tuple(how['names']) == result[task].names
        elif how['kind'] == 'vector':
            np.testing.assert_allclose((values - 128) / 127, result[task].unit, atol=0.005)
        else:
            wanted = result[task].values * (100 if how['unit'] == '%' else 1)
            step = (how['high'] - how['low']) / how['steps']
            np.testing.assert_allclose(how['low'] + number * step, wanted, atol=step + 1e-5)
    assert shown['depth'][0]['unit'] == 'm'


def test_colours_are_explained_under_every_map(page, photo):
    text = viewer_html(page.predict('tiny', page.tasks('tiny'), photo))
    captions = dict(re.findall(r'<figcaption><b>(\w+)</b> <output></output>(.*?)</figcaption>', text))
    assert re.search(r'</i>(wall|floor|chair|lamp) (\d+|&lt;1)%</li>', captions['semseg'])
    assert re.search(r'[\d.]+ m<i style="background: linear-gradient', captions['depth'])
    assert '<i style="background: rgb(128,255,128)"></i>+y' in captions['normals']
    assert captions['edge'].startswith(
        '<div class="mm-bar">0 %<i style="background: linear-gradient(to right, rgb(255,255'
    )
    assert captions['sal'].startswith(
        '<div class="mm-bar">0 %<i style="background: linear-gradient(to right, rgb(0,0,0)'
    )


def test_large_photos_are_shown_smaller(page, photo):
    result = page.predict('tiny', ['semseg'], photo)
    ((_, values),) = figures(viewer_html(result, max_side=24)).values()
    assert values.shape == (16, 24, 3)
    assert set(np.unique(256 * values[..., 0] + values[..., 1])) <= set(np.unique(result['semseg'].ids))


def test_names_cannot_bring_html(page, photo):
    assert '<1>' not in viewer_html(page.predict('tiny', ['depth'], photo))
    assert message_html('<script>') == '<p class="mm-message" role="alert">&lt;script&gt;</p>'


def test_numbers_without_a_picture_of_them():
    assert hover_values(NumbersResult(task='flow', numbers=np.zeros((2, 2, 2))))[0] is None


def test_download_holds_every_file_and_nothing_of_the_server(page, photo):
    result = page.predict('tiny', ['semseg', 'depth'], photo)
    with zipfile.ZipFile(io.BytesIO(page.archive(page.keep('tiny', result)))) as archive:
        assert set(archive.namelist()) == {
            'index.json',
            'panels/my_kitchen_1.png',
            'pictures/semseg/my_kitchen_1.png',
            'pictures/depth/my_kitchen_1.png',
            'raw/semseg/my_kitchen_1.png',
            'raw/depth/my_kitchen_1.png',
        }
        index = archive.read('index.json').decode()
    assert str(photo.parent) not in index
    assert json.loads(index)['images'][0]['source'] == photo.name


def test_old_downloads_make_room(page, photo):
    result = page.predict('tiny', ['edge'], photo)
    keys = [page.keep('tiny', result) for _ in range(17)]
    assert page.archive(keys[0]) is None
    assert all(page.archive(key) for key in keys[1:])


def save(path, size, **options):
    Image.new('RGB', size).save(path, **options)
    return path


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda p: p.write_bytes(b'no photo'), 'bad.png is not a picture'),
        (lambda p: p.write_bytes(b''), r'bad.png is empty \(0 bytes\)'),
        (lambda p: p.write_bytes(b'0' * 30_000), '^bad.png is too large: this page takes files of up to 0.0191 MB'),
        (lambda p: save(p, (200, 100)), '200 x 100 pixels, 0.0 million, and this page takes 0.01 million'),
        (lambda p: save(p, (90, 2)), '90 x 2 pixels, which is too narrow'),
        (lambda p: p.write_bytes(save(p, (60, 60)).read_bytes()[:50]), 'bad.png cannot be decoded'),
    ],
)
def test_messages_name_the_file_and_no_folder(page, folder, make, message):
    path = folder / 'bad.png'
    make(path)
    with pytest.raises(PhotoError, match=message) as caught:
        page.predict('tiny', ['depth'], path)
    assert str(folder) not in str(caught.value)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM', 'EPS', 'ICO', 'PDF', 'TGA'])
def test_formats_of_photos_are_told_by_content(page, folder, kind):
    Image.new('RGB', (48, 32), 'red').save(folder / 'photo.jpg', kind)
    if kind in ('JPEG', 'PNG', 'WEBP'):
        assert list(page.predict('tiny', ['depth'], folder / 'photo.jpg')) == ['depth']
    else:
        with pytest.raises(PhotoError, match='photo.jpg is not a picture, or none of JPEG, PNG, WEBP'):
            page.predict('tiny', ['depth'], folder / 'photo.jpg')


@pytest.mark.parametrize('path', ['', '.', '..', '/dev/zero', '/etc/passwd', __file__, None, 5, b'a', '\0', '~'])
def test_files_that_are_no_uploads_get_one_answer(page, path):
    with pytest.raises(PhotoError, match=f'^{REFUSED}$'):
        page.predict('tiny', ['depth'], path)


def test_links_pipes_and_folders_among_the_uploads_are_not_opened(page, folder, tmp_path):
    Image.new('RGB', (48, 32)).save(tmp_path / 'secret.png')
    (folder / 'link.png').symlink_to(tmp_path / 'secret.png')
    (page.uploads.root / 'linked').symlink_to(tmp_path)
    os.mkfifo(folder / 'pipe.png')
    (folder / 'deep').mkdir()
    shutil.copy(tmp_path / 'secret.png', folder / 'deep' / 'a.png')
    out = os.path.relpath(tmp_path, folder)
    names = ('link.png', 'pipe.png', 'deep', 'deep/a.png', '../linked/secret.png', f'{out}/secret.png', 'missing.png')
    for name in names:
        with pytest.raises(PhotoError, match=f'^{REFUSED}$'):
            page.predict('tiny', ['depth'], folder / name)
    (page.uploads.root / 'linked').unlink()
    assert (tmp_path / 'secret.png').exists()


def test_uploads_are_few_and_young(tmp_path):
    uploads = UploadFolder(tmp_path / 'new' / 'uploads', keep_files=3, keep_seconds=100)
    for age in range(6):
        (uploads.root / str(age)).mkdir()
        (uploads.root / str(age) / 'a.png').write_bytes(b'a')
        os.utime(uploads.root / str(age), (time.time() - 45 * age,) * 2)
    (tmp_path / 'kept').write_text('mine')
    (uploads.root / 'link').symlink_to(tmp_path / 'kept')
    uploads.tidy()
    assert sorted(x.name for x in uploads.root.iterdir()) == ['0', '1', 'link']
    uploads.remove(uploads.root / '0' / 'a.png')
    uploads.remove(tmp_path / 'kept')
    assert sorted(x.name for x in uploads.root.iterdir()) == ['1', 'link']
    uploads.close()
    assert not uploads.root.exists()
    assert (tmp_path / 'kept').read_text() == 'mine'


def test_tasks_have_to_be_those_of_the_model(page, photo):
    with pytest.raises(PhotoError, match='at least one task'):
        page.predict('tiny', [], photo)
    for title, tasks in (('tiny', ['flow']), ('other', ['depth']), ('tiny', ['depth', 'depth']), (['tiny'], 'depth')):
        with pytest.raises(PhotoError, match='Load the page anew'):
            page.predict(title, tasks, photo)
