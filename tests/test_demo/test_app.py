"""The demo page as a visitor meets it: a real server, and a real browser without a window."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser, find_browser
from tests.shared import REPO
from tests.tiny import write_tiny

APP = str(REPO / 'demo' / 'app.py')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture(scope='module')
def url(tmp_path_factory):
    if importlib.util.find_spec('gradio') is None:
        pytest.skip('needs Gradio: pip install "gradio>=6"')
    find_browser()
    folder, port = tmp_path_factory.mktemp('app'), free_port()
    options = ['--model', *write_tiny(folder), '--device', 'cpu', '--port', str(port), '--max-megapixels', '0.5']
    with open(folder / 'log', 'w') as log:
        server = subprocess.Popen(
            [sys.executable, APP, *options, '--max-megabytes', '2'],
            cwd=REPO,
            stdout=log,
            stderr=log,
            env=dict(os.environ, GRADIO_TEMP_DIR=str(folder / 'uploads'), PYTHONPATH=str(REPO)),
        )
    address = f'http://127.0.0.1:{port}'
    try:
        Browser.wait(lambda: server.poll() is not None or urllib.request.urlopen(address).status, 'the page', 300)
        assert server.poll() is None, (folder / 'log').read_text()
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture
def browser(url, tmp_path):
    with Browser(free_port(), tmp_path / 'downloads') as browser:
        browser.open(url)
        browser.wait(lambda: 'Run' in browser.text(), 'the controls')
        yield browser


def upload(browser, path):
    browser.choose_file('#photo input[type=file]', path)


def shown_tasks(browser):
    return browser.run("return [...document.querySelectorAll('.mm-view figure')].map((x) => x.dataset.task)")


def readings(browser):
    return browser.run("return [...document.querySelectorAll('.mm-view output')].map((x) => x.innerText)")


def save_photo(path, size=(48, 32)):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def test_photo_to_maps_numbers_slider_and_download(browser, tmp_path):
    upload(browser, save_photo(tmp_path / 'room.png'))
    browser.wait(lambda: shown_tasks(browser), 'the maps')
    assert shown_tasks(browser) == ['semseg', 'depth', 'normals', 'sal', 'edge']
    assert browser.run("return [...document.querySelectorAll('.mm-frame img')].every((x) => x.naturalWidth === 48)")

    browser.point_at('figure[data-task=depth] .mm-frame', 20, 10)
    browser.wait(lambda: all(readings(browser)), 'the numbers')
    semseg, depth, normals, *probabilities = readings(browser)
    assert semseg in ('wall', 'floor', 'chair', 'lamp')
    assert depth.endswith(' m')
    assert normals.startswith('x ')
    assert all(0 <= float(x.removesuffix(' %')) <= 100 for x in probabilities)

    browser.run(
        "const slider = document.querySelector('.mm-slider input'); slider.value = 40;"
        "slider.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    clip = "return getComputedStyle(document.querySelector('.mm-frame img')).clipPath"
    assert '40%' in browser.run(clip)

    browser.click('.mm-download')
    browser.wait(lambda: list((tmp_path / 'downloads').glob('*.zip')), 'the download')
    foreign = (
        "return performance.getEntriesByType('resource').map((x) => x.name)"
        ".filter((x) => !x.startsWith(location.origin) && !x.startsWith('data:'))"
    )
    assert browser.run(foreign) == []  # nothing comes from elsewhere


def test_task_subset(browser, tmp_path):
    upload(browser, save_photo(tmp_path / 'room.png'))
    browser.wait(lambda: len(shown_tasks(browser)) == 5, 'all maps')
    browser.run("for (const x of document.querySelectorAll('input[type=checkbox]:not([name=depth])')) x.click()")
    time.sleep(0.5)
    browser.click('#run')
    browser.wait(lambda: shown_tasks(browser) == ['depth'], 'the one map')


@pytest.mark.parametrize(
    ('name', 'write', 'message'),
    [
        ('broken.jpg', lambda p: p.write_bytes(b'\xff\xd8\xff\xe0 no photo'), 'broken.jpg cannot be decoded'),
        ('large.png', lambda p: save_photo(p, (700, 900)), 'large.png has 700 x 900 pixels'),
    ],
)
def test_unusable_files_get_a_readable_message(browser, tmp_path, name, write, message):
    write(tmp_path / name)
    upload(browser, tmp_path / name)
    browser.wait(lambda: message in browser.text('.mm-message'), message, 40)
    assert not any(word in browser.text() for word in ('Traceback', '/tmp', str(REPO), 'site-packages'))


def test_files_above_the_limit_are_refused(browser, tmp_path):
    (tmp_path / 'huge.png').write_bytes(bytes(3_000_000))
    upload(browser, tmp_path / 'huge.png')
    browser.wait(lambda: 'exceed the maximum' in browser.text(), 'the refusal', 40)
    assert not any(word in browser.text() for word in ('Traceback', '/tmp', str(REPO)))
