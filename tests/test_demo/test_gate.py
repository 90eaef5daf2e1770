"""The page against requests that no browser sends: a sample, and what an upload goes through; the long run is
``.dev_scripts/page_attack.py``."""

import importlib.util
import json
import os

import pytest

from tests.hostile_page import JSON, Request, Server, ask, file_data, form, join, photo, plant, requests

if importlib.util.find_spec('gradio') is None:
    pytest.skip('needs Gradio: pip install "gradio>=6"', allow_module_level=True)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp('server')) as server:
        yield server


def question(path) -> Request:
    return Request('file', 'upload', (), body=join([file_data(path), 'tiny', ['depth']]), headers=JSON)


def test_an_upload_becomes_maps_and_a_file_of_the_server_does_not(server, tmp_path):
    upload = server.upload(photo())
    assert ask(server, question(upload)) == 'maps'
    secret = photo(size=(40, 40))
    (tmp_path / 'a.png').write_bytes(secret)
    assert ask(server, question(str(tmp_path / 'a.png'))) == 'refused'
    os.mkfifo(tmp_path / 'pipe.png')
    assert ask(server, question(str(tmp_path / 'pipe.png'))) == 'refused'
    assert ask(server, question('/dev/zero')) == 'refused'
    assert all(x.read_bytes() != secret for x in server.uploads.root.rglob('*') if x.is_file())
    assert server.send('GET', '/')[0] == 200


def test_more_than_one_file_leaves_nothing(server):
    before = set(server.uploads.root.rglob('*'))
    body, headers = form([(f'{i}.png', b'%d' % i) for i in range(5)])
    status, answer = server.send('POST', '/gradio_api/upload', body, headers)
    assert (status, json.loads(answer)) == (400, dict(detail='This is no upload of one file.'))
    assert set(server.uploads.root.rglob('*')) == before


def test_what_the_page_itself_needs_is_there(server):
    paths = '/ /config /theme.css /gradio_api/info /gradio_api/app_id /gradio_api/startup-events /static/img/logo.svg'
    assert [path for path in paths.split() if server.send('GET', path)[0] != 200] == []


def test_a_sample_of_hostile_requests(server, tmp_path):
    upload = server.upload(photo())
    wanted = list(requests(plant(server, tmp_path / 'private'), upload))
    assert len(wanted) >= 430
    wrong = []
    for request in wanted[::23]:
        found = ask(server, request)
        if found not in request.allowed:
            wrong.append(f'{request.group}, {request.name}: {found}, right: {" or ".join(request.allowed)}')
    assert not wrong, '\n'.join(wrong)
