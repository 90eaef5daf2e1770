"""What stands before Gradio: only requests that the page itself makes get through, with files of this page only.

Gradio copies every file that a request names into its cache before any code of ours sees it, and compares the path with
its upload folder only where ``launch()`` was called, which a mounted application never does. So requests are looked at
here, before Gradio: routes that the page does not need do not exist, bodies are of limited size and of the expected
form, and a file that is not an upload of this page is replaced by one that is answered with a message.
"""

import json
import logging
import re
from collections.abc import Sequence

from mlore_mm.apis.inference.photos import PhotoError
from photo_page.uploads import UploadFolder

_GET = re.compile(
    r'/(config/?|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon(/\d{1,4})?'
    r'|(assets|static|svelte)/[\w./@+-]+|results/[\w-]{1,64}\.zip)?'
    r'|/gradio_api/(info/?|app_id/?|login_check/?|startup-events|theme\.css|queue/data|upload_progress'
    r'|heartbeat/[\w-]{1,64})'
)
_POST = re.compile(r'/gradio_api/(queue/join|upload|cancel|reset/?)')
_JOIN_BYTES, _FORM_BYTES = 64_000, 16_000  # largest question; what a form may add to the file in it
_OTHER_FORM = 'The question has another form than the page gives it.'
_SESSION = re.compile(r'[\w-]{1,64}')
_JSON = [(b'content-type', b'application/json')]


class _TooLarge(Exception):
    pass


class Gate:
    """An ASGI application before another one.

    Args:
        app: The page.
        uploads: Where its uploads are.
        max_bytes: Largest upload.
        functions: For each of the page's functions, which of its inputs are files.
    """

    def __init__(self, app, uploads: UploadFolder, max_bytes: int, functions: Sequence[Sequence[bool]]) -> None:
        self.app, self.uploads, self.max_bytes, self.functions = app, uploads, max_bytes, functions

    async def __call__(self, scope, receive, send) -> None:
        if scope['type'] == 'lifespan':
            return await self.app(scope, receive, send)
        if scope['type'] != 'http':
            return await send({'type': 'websocket.close', 'code': 1008})
        method, path = scope['method'], scope['path']
        if method in ('GET', 'HEAD') and _GET.fullmatch(path) and '..' not in path:
            return await self.app(scope, receive, send)
        if method != 'POST' or not _POST.fullmatch(path):
            return await _answer(send, 404, 'There is nothing here.')
        try:
            if path.endswith('/upload'):
                return await self._upload(scope, receive, send)
            body = await _read(receive, _JOIN_BYTES)
            body = self._checked_join(body) if path.endswith('/join') else _object(body)
        except _TooLarge:
            return await _answer(send, 413, 'This request is too large.')
        except ValueError as error:
            return await _answer(send, 400, str(error))
        except Exception:
            logging.getLogger(__name__).exception('A request failed.')
            return await _answer(send, 500, 'This request could not be answered. The log of the server says why.')
        return await self.app(_as_json(scope, body), _replay(body), send)

    # ---- questions -----------------------------------------------------------------------------------------------
    def _checked_join(self, body: bytes) -> bytes:
        """The question with nothing in it but what the page sends."""
        question = json.loads(_object(body))
        number, session, data = question.get('fn_index'), question.get('session_hash'), question.get('data')
        if type(number) is not int or not 0 <= number < len(self.functions):
            raise ValueError('There is no such function.')
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            raise ValueError('There is no such session.')
        files = self.functions[number]
        if not isinstance(data, list) or len(data) != len(files):
            raise ValueError(_OTHER_FORM)
        trigger = question.get('trigger_id')
        kept = dict(
            data=[self._checked_value(*pair) for pair in zip(data, files, strict=True)],
            fn_index=number,
            session_hash=session,
            trigger_id=trigger if type(trigger) is int else None,
            event_data=None,
        )
        return json.dumps(kept).encode()

    def _checked_value(self, value, is_file: bool):
        """A text, a choice of texts, or an upload; any other file becomes the one that is answered with a message."""
        if value is None:
            return value
        if not is_file:
            if isinstance(value, str) or (isinstance(value, list) and all(isinstance(x, str) for x in value)):
                return value
            raise ValueError(_OTHER_FORM)
        if not isinstance(value, dict):
            raise ValueError(_OTHER_FORM)
        try:
            path = self.uploads.check(value.get('path'))
        except PhotoError:
            path = self.uploads.refused
            path.touch()
        return dict(path=str(path), orig_name=path.name, meta=dict(_type='gradio.FileData'))

    # ---- uploads -------------------------------------------------------------------------------------------------
    async def _upload(self, scope, receive, send) -> None:
        """One file a request."""
        body = await _read(receive, self.max_bytes + _FORM_BYTES)
        self.uploads.tidy()
        status, headers, answer = 500, [], b''

        async def keep(message) -> None:
            nonlocal status, headers, answer
            if message['type'] == 'http.response.start':
                status, headers = message['status'], message.get('headers', [])
            else:
                answer += message.get('body', b'')

        await self.app(scope, _replay(body), keep)
        if status != 200:
            limit = status == 413
            return await _answer(
                send, status, 'This request is too large.' if limit else 'This is no upload of one file.'
            )
        paths = json.loads(answer)
        if len(paths) != 1:
            for path in paths:
                self.uploads.remove(path)
            return await _answer(send, 400, 'This is no upload of one file.')
        await send({'type': 'http.response.start', 'status': status, 'headers': headers})
        await send({'type': 'http.response.body', 'body': answer})


def _object(body: bytes) -> bytes:
    """The same JSON, which has to be one plain object in UTF-8.

    Raises:
        ValueError: It is something else.
    """
    try:
        found = json.loads(body.decode('utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError('The question is not JSON.') from error
    if not isinstance(found, dict):
        raise ValueError(_OTHER_FORM)
    return json.dumps(found).encode()


async def _read(receive, limit: int) -> bytes:
    body = b''
    while True:
        message = await receive()
        if message['type'] != 'http.request':
            raise ValueError('The request was broken off.')
        body += message.get('body', b'')
        if len(body) > limit:
            raise _TooLarge
        if not message.get('more_body', False):
            return body


def _replay(body: bytes):
    """A request's body that was read before."""
    sent = False

    async def receive():
        nonlocal sent
        if sent:
            return {'type': 'http.disconnect'}
        sent = True
        return {'type': 'http.request', 'body': body, 'more_body': False}

    return receive


def _as_json(scope: dict, body: bytes) -> dict:
    """The request with the headers that fit its new body."""
    dropped = (b'content-type', b'content-length', b'content-encoding', b'transfer-encoding')
    headers = [(key, value) for key, value in scope['headers'] if key.lower() not in dropped]
    return dict(scope, headers=[*headers, *_JSON, (b'content-length', str(len(body)).encode())])


async def _answer(send, status: int, text: str) -> None:
    body = json.dumps(dict(detail=text)).encode()
    await send({'type': 'http.response.start', 'status': status, 'headers': _JSON})
    await send({'type': 'http.response.body', 'body': body})
