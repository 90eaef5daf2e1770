"""Requests to the demo page as nobody's browser makes them, and what each of them may answer.

``requests`` gives them in one order; ``Server`` runs the page in this process; ``ask`` sends one and sorts the answer.
Used by ``tests/test_demo/test_hostile_requests.py`` and, with a table, by ``.dev_scripts/page_attack.py``.
"""

import http.client
import importlib.util
import json
import os
import re
import secrets
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mlore_mm.apis import MultiTaskInferencer
from photo_page.page import PhotoPage
from photo_page.uploads import REFUSED, UploadFolder
from tests.shared import REPO
from tests.tiny import write_tiny

# No answer may hold these, in whatever form.
SECRETS = ('Traceback', 'site-packages', 'root:x:0', 'secret-of-the-server', str(REPO))
JSON = {'Content-Type': 'application/json'}


@dataclass
class Request:
    """One request; ``allowed`` are the kinds of answers (see ``ask``) that are right for it."""

    group: str
    name: str
    allowed: tuple[str, ...]
    method: str = 'POST'
    path: str = '/gradio_api/queue/join'
    body: bytes = b''
    headers: dict = field(default_factory=dict)


class Server:
    """The page with the smallest model, in a thread; use it in a ``with`` statement."""

    def __init__(self, folder: Path) -> None:
        import gradio
        import uvicorn

        spec = importlib.util.spec_from_file_location('demo_app', REPO / 'demo' / 'app.py')
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        config, checkpoint = write_tiny(folder)
        infer = MultiTaskInferencer(config, checkpoint, device='cpu', show_progress=False)
        self.uploads = UploadFolder(folder / 'uploads')
        self.page = PhotoPage(dict(tiny=infer), 40_000, 20_000, self.uploads)
        self._before = os.environ.get('GRADIO_TEMP_DIR')
        app = self.module.build_app(gradio, self.page, Namespace(host='127.0.0.1', port=0))
        config = uvicorn.Config(app, host='127.0.0.1', port=0, log_level='critical')
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> 'Server':
        self.thread.start()
        end = time.monotonic() + 60
        while not self.server.started and time.monotonic() < end:
            time.sleep(0.05)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *error) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        os.environ.pop('GRADIO_TEMP_DIR') if self._before is None else os.environ.update(GRADIO_TEMP_DIR=self._before)

    def send(self, method: str, path: str, body: bytes = b'', headers: dict | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for key, value in {'Content-Length': str(len(body)), **(headers or {})}.items():
                connection.putheader(key, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload(self, data: bytes, name: str = 'room.png') -> str:
        """The path that the page gives to an upload."""
        status, answer = self.send('POST', '/gradio_api/upload', *form([(name, data)]))
        assert status == 200, answer
        return json.loads(answer)[0]


def form(files: list[tuple[str, bytes]]) -> tuple[bytes, dict]:
    """Body and headers of an upload."""
    body = b''
    for name, data in files:
        head = f'--xyz\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body += head.encode() + data + b'\r\n'
    return body + b'--xyz--\r\n', {'Content-Type': 'multipart/form-data; boundary=xyz'}


def photo(kind: str = 'PNG', size: tuple[int, int] = (48, 32)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def file_data(path, **more) -> dict:
    return dict(path=path, orig_name='a.png', meta={'_type': 'gradio.FileData'}, **more)


def join(data, number: int = 0, **more) -> bytes:
    session = more.pop('session_hash', secrets.token_hex(5))
    return json.dumps(dict(data=data, fn_index=number, session_hash=session, **more)).encode()


def ask(server: Server, request: Request) -> str:
    """What kind of answer a request gets.

    'maps', 'refused' (the one message for files that are no uploads), 'message' (any other for visitors), 'error'
    (Gradio's own, without words), '200' and so on for other answers by their status; 'LEAK ...' for what must not be.
    """
    status, answer = server.send(request.method, request.path, request.body, request.headers)
    if status == 200 and request.path == '/gradio_api/queue/join':
        session = json.loads(request.body)['session_hash']
        _, answer = server.send('GET', f'/gradio_api/queue/data?session_hash={session}')
    text = answer.decode('utf-8', 'replace')
    leaks = [x for x in (*SECRETS, str(server.uploads.root.parent)) if x in text]
    if leaks and request.path != '/gradio_api/upload':
        return f'LEAK of {leaks}'
    if status != 200 or request.path != '/gradio_api/queue/join':
        return str(status)
    if 'mm-view' in text:
        return 'maps'
    message = re.search(r'mm-message[^>]*>([^<]*)', text)
    if message:
        return 'refused' if message.group(1) == REFUSED else 'message'
    return 'hint' if 'appear here' in text else 'choices' if '"choices"' in text else 'error'


def plant(server: Server, folder: Path) -> dict[str, str]:
    """Files that nobody may have: by what they are, their paths."""
    folder.mkdir(exist_ok=True)
    (folder / 'secret.png').write_bytes(photo())
    (folder / 'secret.txt').write_text('secret-of-the-server')
    os.mkfifo(folder / 'fifo.png')
    inside = server.uploads.root / 'planted'
    inside.mkdir(exist_ok=True)
    (inside / 'link.png').symlink_to(folder / 'secret.png')
    (inside / 'circle.png').symlink_to(inside / 'circle.png')
    (inside / 'deep').mkdir(exist_ok=True)
    (inside / 'deep' / 'photo.png').write_bytes(photo())
    os.link(folder / 'secret.png', inside / 'hard.png')
    os.mkfifo(inside / 'fifo.png')
    (server.uploads.root / 'linked').symlink_to(folder)
    (server.uploads.root / 'flat.png').write_bytes(photo())
    return dict(folder=str(folder), inside=str(inside), root=str(server.uploads.root))


def paths(places: dict[str, str], upload: str) -> Iterator[tuple[str, object]]:
    """Paths that are not uploads."""
    folder, inside, root = places['folder'], places['inside'], places['root']
    relative = os.path.relpath(folder, root)
    yield from {
        'outside': f'{folder}/secret.png',
        'outside text': f'{folder}/secret.txt',
        'outside missing': f'{folder}/nothing.png',
        'outside FIFO': f'{folder}/fifo.png',
        'folder': folder,
        'upload folder': root,
        'link': f'{inside}/link.png',
        'circle': f'{inside}/circle.png',
        'hard link': f'{inside}/hard.png',
        'FIFO inside': f'{inside}/fifo.png',
        'too deep': f'{inside}/deep/photo.png',
        'not deep enough': f'{root}/flat.png',
        'through a linked folder': f'{root}/linked/secret.png',
        'dots': f'{root}/{relative}/secret.png',
        'dots from inside': f'{inside}/../{relative}/secret.png',
        'dots and back': f'{Path(upload).parent}/../{Path(upload).parent.name}/{Path(upload).name}',
        'doubled slash': upload.replace('/', '//', 1),
        'trailing slash': upload + '/',
        'trailing dot': upload + '/.',
        'trailing nul': upload + '\0',
        'nul inside': f'{folder}/secret.png\0.png',
        'relative': os.path.relpath(f'{folder}/secret.png'),
        'relative upload': os.path.relpath(upload),
        'other case': upload.upper(),
        'percent': upload.replace('/', '%2f'),
        'backslash': upload.replace('/', '\\'),
        'very long': '/' + 'a' * 5000,
        'many parts': '/a' * 3000,
        'empty': '',
        'blank': ' ',
        'dot': '.',
        'home': '~/.bashrc',
        'surrogate': '/tmp/\ud800',
        'number': 7,
        'true': True,
        'none': None,
        'list': [upload],
        'object': dict(path=upload),
    }.items()
    system = (
        '/etc/passwd /etc/hostname /dev/zero /dev/urandom /dev/stdin /dev/null /dev/fd/0 /dev/tty /proc/self/environ'
    )
    system += ' /proc/self/mem /proc/self/cmdline /proc/self/root/etc/passwd /sys/kernel/notes / //etc/passwd'
    urls = 'file:///etc/passwd http://127.0.0.1:1/a.png https://127.0.0.1:1/a.png ftp://127.0.0.1/a.png data:,a'
    urls += ' http://169.254.169.254/latest http://[::1]:1/ gopher://127.0.0.1/ \\\\server\\share\\a.png C:\\a.png'
    for text in (system + ' ' + urls).split(' '):
        yield text, text


def requests(places: dict[str, str], upload: str) -> Iterator[Request]:
    """All of them; ``upload`` is the path of a photo that was uploaded."""
    yield from _files(places, upload)
    yield from _questions(upload)
    yield from _routes(places, upload)
    yield from _uploads()


def _files(places, upload) -> Iterator[Request]:
    tasks = ['depth']
    for name, path in paths(places, upload):
        yield Request('file', name, ('refused',), body=join([file_data(path), 'tiny', tasks]), headers=JSON)
        body = join([file_data(path, url=path, is_stream=True), 'tiny', tasks])
        yield Request('file as a stream', name, ('refused',), body=body, headers=JSON)
        body = join([dict(path=path), 'tiny', tasks])
        yield Request('file without meta', name, ('refused',), body=body, headers=JSON)
        body = join([file_data(upload), file_data(path), tasks])
        yield Request('file as the model', name, ('400',), body=body, headers=JSON)
        if isinstance(path, str):
            yield Request('text as the file', name, ('400',), body=join([path, 'tiny', tasks]), headers=JSON)
    for number in (1, 2, 3):
        body = join([file_data('/etc/passwd')], number)
        yield Request('other functions', str(number), ('400',), body=body, headers=JSON)


def _questions(upload) -> Iterator[Request]:
    good = file_data(upload)
    values = {
        'unknown model': ([good, 'other', ['depth']], 0),
        'model is a list': ([good, ['tiny'], ['depth']], 0),
        'model is empty': ([good, '', ['depth']], 0),
        'no model': ([good, None, ['depth']], 0),
        'unknown task': ([good, 'tiny', ['depth', 'flow']], 0),
        'task leads out': ([good, 'tiny', ['../../depth']], 0),
        'no task': ([good, 'tiny', []], 0),
        'tasks are text': ([good, 'tiny', 'depth'], 0),
        'tasks are none': ([good, 'tiny', None], 0),
        'thousand tasks': ([good, 'tiny', ['depth'] * 1000], 0),
        'too few': ([good], 0),
        'nothing': ([], 0),
        'no file': ([None, 'tiny', ['depth']], 0),
        'two files': ([[good, good], 'tiny', ['depth']], 0),
        'function -1': ([good, 'tiny', ['depth']], -1),
        'function 99': ([good, 'tiny', ['depth']], 99),
        'function 1e9': ([good, 'tiny', ['depth']], 10**9),
        'function is text': ([good, 'tiny', ['depth']], '0'),
        'function is true': ([good, 'tiny', ['depth']], True),
        'too many': ([good, 'tiny', ['depth'], *[None] * 20], 0),
        'nested': ([dict(a=[[[good]]]), 'tiny', ['depth']], 0),
        'number': ([4, 'tiny', ['depth']], 0),
    }
    fine = ('error', 'message', 'refused', 'hint', '400')
    for name, (data, number) in values.items():
        yield Request('question', name, fine, body=join(data, number), headers=JSON)
    for session in ('', '../..', 'a b', 'x' * 5000, None, 5, ['a'], '\0'):
        body = join([good, 'tiny', ['depth']], session_hash=session)
        yield Request('session', repr(session)[:20], ('400',), body=body, headers=JSON)
    raw = {
        'empty': b'',
        'no JSON': b'{',
        'a list': b'[]',
        'a number': b'1',
        'null': b'null',
        'deep': b'[' * 30_000,
        'deep objects': b'{"a":' * 9000,
        'UTF-16': join([good, 'tiny', ['depth']]).decode().encode('utf-16'),
        'not UTF-8': b'\xff\xfe{}',
        'huge': b' ' * 70_000,
        'million': b'a' * 1_000_000,
        'pickle': b'\x80\x04\x95',
        'form': b'data=1&fn_index=0',
    }
    for name, body in raw.items():
        yield Request('body', name, ('400', '413'), body=body, headers=JSON)
        yield Request('body of cancel', name, ('400', '413'), path='/gradio_api/cancel', body=body, headers=JSON)
    yield Request('other type', 'text/plain', ('maps',), body=join([good, 'tiny', ['depth']]))
    batched = join([good, 'tiny', ['depth']], batched=True, simple_format=True, event_data=file_data('/etc/passwd'))
    yield Request('other keys', 'batched', ('maps',), body=batched, headers=JSON)


def _routes(places, upload) -> Iterator[Request]:
    wanted = [f'{places["folder"]}/secret.png', '/etc/passwd', upload, '../../etc/passwd', 'http://127.0.0.1:1/']
    for path in wanted:
        for route in ('file=', 'file/', 'proxy=', 'stream/', 'custom_component/'):
            yield Request('get', f'{route}{path}'[:60], ('404',), 'GET', f'/gradio_api/{route}{path}')
            yield Request('get', f'old {route}{path}'[:60], ('404',), 'GET', f'/{route}{path}')
        for route in ('static', 'assets', 'svelte', 'results'):
            for up in ('/..' * 8, '/%2e%2e' * 8, '/..%2f' * 8, '/' + '%2f'):
                if not path.startswith('http'):
                    name = f'{route}{up}{path}'
                    yield Request('out', name[:60], ('404', '400', '403'), 'GET', f'/{route}{up}/{path.lstrip("/")}')
    body = join([file_data('/etc/passwd'), 'tiny', ['depth']])
    routes = 'run/predict run/answer api/predict api/ call/answer call/v2/answer process_recording vibe-edit vibe-code'
    routes += ' undo-vibe-edit vibe-starter-queries component_server stream/a run-history/connect queue/join/ queue'
    for route in routes.split():
        yield Request('post', route, ('404',), path=f'/gradio_api/{route}', body=body, headers=JSON)
    names = (
        'login logout monitoring monitoring/summary runs gradio_api/token gradio_api/deep_link gradio_api/openapi.json'
    )
    names += ' gradio_api/vibe-code docs openapi.json redoc gradio_api/dev/reload gradio_api/run-history/records'
    for route in names.split():
        yield Request('get', route, ('404',), 'GET', f'/{route}')
    for method in ('PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', 'FOO'):
        yield Request('method', method, ('404', '405', '400'), method, '/')
    for key in ('a', '..', '%2e%2e', 'a' * 300, "'", '\u00e4'.encode().decode('latin1')):
        path = f'/results/{key}.zip'
        path = ''.join(c if c.isascii() else f'%{ord(c):02x}' for c in path)
        yield Request('result', key[:20], ('404', '400'), 'GET', path)


def _uploads() -> Iterator[Request]:
    def upload(name, files, allowed):
        body, headers = form(files)
        return Request('upload', name, allowed, path='/gradio_api/upload', body=body, headers=headers)

    small = photo()
    yield upload('two files', [('a.png', small)] * 2, ('400',))
    yield upload('hundred files', [(f'{i}.png', b'x') for i in range(100)], ('400',))
    yield upload('thousand files', [(f'{i}', b'') for i in range(1200)], ('400', '413'))
    yield upload('no file', [], ('400',))
    yield upload('too large', [('a.png', bytes(50_000))], ('413',))
    yield upload('much too large', [('a.png', bytes(5_000_000))], ('413',))
    for name in ('', '.', '..', '../../a.png', '/etc/cron.d/a', 'a/b/c.png', '\\..\\a.png', 'x' * 300, 'a\0b.png'):
        yield upload(f'name {name[:20]!r}', [(name, small)], ('200', '400', '500'))
    for kind in ('multipart/form-data', 'multipart/form-data; boundary=', 'text/plain', 'application/json', ''):
        body, _ = form([('a.png', small)])
        headers = {'Content-Type': kind}
        yield Request('upload type', kind, ('400', '500'), path='/gradio_api/upload', body=body, headers=headers)
    body, headers = form([('a.png', small)])
    yield Request('upload', 'cut', ('400', '500'), path='/gradio_api/upload', body=body[:80], headers=headers)
