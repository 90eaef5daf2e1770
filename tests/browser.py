"""Drives a headless Chromium through chromedriver, by the WebDriver protocol (W3C), with nothing but urllib."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

_ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'  # the key that the standard gives references to elements


def find_browser() -> tuple[str, str]:
    """Paths of Chromium and its driver; skips the test where one is missing."""
    browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    driver = shutil.which('chromedriver')
    if not browser or not driver:
        pytest.skip('needs Chromium and chromedriver: apt-get install chromium chromium-driver')
    return browser, driver


class Browser:
    """One window; use it in a ``with`` statement.

    Args:
        port: A free port for the driver.
        downloads: Folder for files that are downloaded.
    """

    def __init__(self, port: int, downloads: Path, size: tuple[int, int] = (1280, 1000)) -> None:
        browser, driver = find_browser()
        self.process = subprocess.Popen(
            [driver, f'--port={port}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f'http://127.0.0.1:{port}'
        self.wait(lambda: self.call('GET', '/status')['ready'], 'the driver')
        arguments = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
        options = dict(
            binary=browser,
            args=[*arguments, f'--window-size={size[0]},{size[1]}'],
            prefs={'download.default_directory': str(downloads)},
        )
        capabilities = dict(capabilities=dict(alwaysMatch={'goog:chromeOptions': options}))
        self.url += f'/session/{self.call("POST", "/session", capabilities)["sessionId"]}'

    def __enter__(self) -> 'Browser':
        return self

    def __exit__(self, *error) -> None:
        try:
            self.call('DELETE', '')
        finally:
            self.process.terminate()
            self.process.wait(timeout=10)

    def call(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {'Content-Type': 'application/json'}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())['value']

    def open(self, url: str) -> None:
        self.call('POST', '/url', dict(url=url))

    def run(self, script: str, *args):
        """The value of a function body in the page."""
        return self.call('POST', '/execute/sync', dict(script=script, args=list(args)))

    def find(self, css: str) -> str:
        """A reference to the first element that fits."""
        return self.call('POST', '/element', dict(using='css selector', value=css))[_ELEMENT]

    def choose_file(self, css: str, path: Path) -> None:
        """Put a file into an ``<input type="file">``."""
        self.call('POST', f'/element/{self.find(css)}/value', dict(text=str(path)))

    def click(self, css: str) -> None:
        self.call('POST', f'/element/{self.find(css)}/click', {})

    def point_at(self, css: str, dx: int = 0, dy: int = 0) -> None:
        """Move the mouse to the middle of an element, and this far from there."""
        move = dict(type='pointerMove', duration=0, x=dx, y=dy, origin={_ELEMENT: self.find(css)})
        pointer = dict(type='pointer', id='mouse', parameters=dict(pointerType='mouse'), actions=[move])
        self.call('POST', '/actions', dict(actions=[pointer]))

    def text(self, css: str = 'body') -> str:
        return self.run('return document.querySelector(arguments[0])?.innerText ?? ""', css)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call('GET', '/screenshot')))

    @staticmethod
    def wait(condition: Callable, what: str, seconds: float = 120):
        """What ``condition()`` returns, as soon as it is true."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                if value := condition():
                    return value
            except (OSError, KeyError) as error:
                last = error
            time.sleep(0.2)
        raise AssertionError(f'{what} did not come within {seconds} s; last error: {last}')
