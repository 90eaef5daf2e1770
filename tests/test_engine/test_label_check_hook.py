from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset

from mlore_mm.engine.hooks import LabelCheckHook
from tests.test_datasets.archives import build, write_archive, write_image


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr('mlore_mm.engine.hooks.label_check_hook.print_log', lambda text, *args: messages.append(text))
    return messages


def run(dataset, **options):
    LabelCheckHook(**options).before_train(SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset)))


def test_labels_that_cannot_be_meant_are_warned_about_before_training(tmp_path, said):
    write_archive(tmp_path / 'good')
    write_archive(tmp_path / 'bad')
    for name in 'abc':
        pixels = np.full((12, 16, 3), (128, 128, 255), dtype=np.uint8)
        pixels[:4] = 255
        write_image(tmp_path / f'bad/normals/{name}.png', pixels)
        write_image(tmp_path / f'good/normals/{name}.png', pixels[4:].repeat(2, axis=0)[:12])
    good, bad = (build(tmp_path / name, serialize_data=False) for name in ('good', 'bad'))
    run(ConcatDataset([good, bad]))
    (message,) = [text for text in said if 'normals' in text]
    assert f'Labels of {tmp_path}/bad' in message
    assert '33.3 % of the pixels hold (255, 255, 255)' in message
    assert 'check_dataset.py' in message
    said.clear()
    run(RepeatDataset(bad, times=2), samples=1)
    (message,) = [text for text in said if 'normals' in text]
    assert f'Labels of {tmp_path}/bad, 1 samples: ' in message


def test_a_file_that_cannot_be_read_is_left_to_training(tmp_path, said):
    write_archive(tmp_path)
    for name in 'abc':
        (tmp_path / f'normals/{name}.png').write_bytes(b'x')
    run(RepeatDataset(build(tmp_path, serialize_data=False), times=2))
    assert not [text for text in said if 'normals' in text]


def test_it_can_be_left_out_and_does_not_know_every_data_set(tmp_path, said):
    write_archive(tmp_path)
    run(build(tmp_path), samples=0)
    run([1, 2, 3])
    assert said == []
