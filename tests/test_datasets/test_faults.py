"""Real files with every fault that was thought of, for every kind of task: a named error, or a stated tolerance."""

import os
import struct
import zlib
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from mmengine.runner import Runner
from PIL import Image

from tests.test_datasets.archives import annotation, build, write_archive, write_image, write_mat, write_npy

SIZE = (12, 16)
TASKS = dict(
    semseg=dict(type='SemSeg', out_channels=5),
    human_parts=dict(type='HumanParts'),
    sal=dict(type='Saliency'),
    normals=dict(type='SurfaceNormals'),
    edge=dict(type='Edge'),
    depth=dict(type='Depth'),
)
LABELS = dict(
    semseg=dict(type='IdMapReader', dir='labels'),
    human_parts=dict(type='HumanPartsReader', dir='parts'),
    sal=dict(type='MaskReader', dir='sal'),
    normals=dict(type='VectorReader', dir='normals'),
    edge=dict(type='ContextEdgeReader', dir='context'),
    depth=dict(type='NpyReader', dir='depth'),
)
FILES = dict(
    image='images/b.png',
    semseg='labels/b.png',
    human_parts='parts/b.mat',
    sal='sal/b.png',
    normals='normals/b.png',
    edge='context/b.mat',
    depth='depth/b.npy',
)


@pytest.fixture
def root(tmp_path) -> Path:
    """Three samples a, b, c; the files of b are the ones to damage."""
    write_archive(tmp_path, size=SIZE)
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[:5] = 1
    for name in 'abc':
        write_image(tmp_path / f'sal/{name}.png', mask * 255)
        person = (15, mask, [('head', mask)])
        write_mat(tmp_path / f'parts/{name}.mat', anno=annotation(person))
        write_mat(tmp_path / f'context/{name}.mat', LabelMap=mask.astype(np.uint16) * 3)
    return tmp_path


def dataset(root, **kwargs):
    return build(root, tasks=TASKS, labels=LABELS, serialize_data=False, **kwargs)


def grey(value, size=SIZE, dtype=np.uint8):
    return np.full(size, value, dtype=dtype)


def png_bomb() -> bytes:
    """A PNG of some bytes that claims 100,000 x 100,000 pixels."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', 100_000, 100_000, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')


def npy_bomb(path: Path) -> None:
    with open(path, 'wb') as file:
        np.lib.format.write_array_header_1_0(file, dict(descr='<f8', fortran_order=False, shape=(10**6, 10**6)))


def depth(value):
    values = np.ones(SIZE, dtype=np.float32)
    values[2, 3] = value
    return values


class Intruder:
    def __reduce__(self):
        return os.mkdir, ('intruded',)


def palette(path: Path) -> None:
    """Ids through a palette; indices 0 to 4, colours anything."""
    image = Image.fromarray(grey(4))
    image.putpalette([9, 200, 77] * 5)
    image.save(path)


# Name of the fault: file, what is done to it, and what the message says besides the name of the file.
FAULTS = {
    **{
        f'{kind}: cut short': (kind, lambda p: p.write_bytes(p.read_bytes()[: -len(p.read_bytes()) // 3]), '')
        for kind in FILES
    },
    **{f'{kind}: no bytes': (kind, lambda p: p.write_bytes(b''), '') for kind in FILES},
    **{f'{kind}: other bytes': (kind, lambda p: p.write_bytes(b'not what it says' * 20), '') for kind in FILES},
    **{
        f'{kind}: loop of links': (kind, lambda p: (p.unlink(), p.symlink_to(p.name)), 'symbolic links')
        for kind in FILES
    },
    'image: bomb': ('image', lambda p: p.write_bytes(png_bomb()), 'claims 100000 x 100000 pixels'),
    'image: another size': ('image', lambda p: write_image(p, grey(1, (12, 17, 3))), r'12x16 .*12x17'),
    'semseg: bomb': ('semseg', lambda p: p.write_bytes(png_bomb()), 'claims 100000 x 100000 pixels'),
    'semseg: another size': ('semseg', lambda p: write_image(p, grey(1, (16, 12))), r'16x12 .*12x16'),
    'semseg: colours': ('semseg', lambda p: write_image(p, grey(1, (*SIZE, 3))), r'expected one value per pixel'),
    'semseg: id out of range': ('semseg', lambda p: write_image(p, grey(5)), r'class ids 0 to 4 .* found \[5\]'),
    'semseg: 16 bits': ('semseg', lambda p: write_image(p, grey(300, dtype=np.uint16)), '300'),
    'human_parts: no variable': ('human_parts', lambda p: write_mat(p, other=1), 'no variable `anno`'),
    'human_parts: no struct': ('human_parts', lambda p: write_mat(p, anno=np.ones((3, 3))), 'not the struct'),
    'human_parts: unknown part': (
        'human_parts',
        lambda p: write_mat(p, anno=annotation((15, grey(1), [('tail', grey(1))]))),
        "part 'tail'",
    ),
    'human_parts: another size': (
        'human_parts',
        lambda p: write_mat(p, anno=annotation((15, grey(1, (3, 4)), [('head', grey(1, (3, 4)))]))),
        '3x4',
    ),
    'sal: another size': ('sal', lambda p: write_image(p, grey(255, (3, 4))), '3x4'),
    'sal: colours': ('sal', lambda p: write_image(p, grey(1, (*SIZE, 3))), 'expected one value per pixel'),
    'normals: one channel': ('normals', lambda p: write_image(p, grey(1)), '3 channels'),
    'normals: 16 bits': ('normals', lambda p: write_image(p, grey(9, (*SIZE, 3), np.uint16)), 'expected an 8-bit PNG'),
    'edge: no variable': ('edge', lambda p: write_mat(p, other=1), 'no variable `LabelMap`'),
    'edge: id out of range': ('edge', lambda p: write_mat(p, LabelMap=grey(500, dtype=np.uint16)), 'ids 500 to 500'),
    'edge: NaN': ('edge', lambda p: write_mat(p, LabelMap=depth(np.nan)), 'ids nan'),
    'edge: version 4': (
        'edge',
        lambda p: scipy.io.savemat(p, dict(LabelMap=np.ones(SIZE)), format='4'),
        'not in MATLAB 5 format',
    ),
    'edge: bomb': ('edge', lambda p: write_mat(p, LabelMap=np.zeros((99, 99), np.uint8)), 'claims the shape'),
    'depth: objects': (
        'depth',
        lambda p: np.save(p, np.array([Intruder()], dtype=object), allow_pickle=True),
        'cannot be read as a .npy array of numbers',
    ),
    'depth: bomb': ('depth', npy_bomb, 'cannot be read as a .npy array of numbers'),
    'depth: text': ('depth', lambda p: write_npy(p, np.array([['a']])), 'expected real numbers'),
    'depth: three channels': ('depth', lambda p: write_npy(p, np.ones((*SIZE, 3))), '3 channels, expected 1'),
    'depth: NaN': ('depth', lambda p: write_npy(p, depth(np.nan)), 'NaN or infinity'),
    'depth: infinite': ('depth', lambda p: write_npy(p, depth(np.inf)), 'NaN or infinity'),
    'depth: negative': ('depth', lambda p: write_npy(p, depth(-1)), 'minimum of -1'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_damaged_file_is_named(root, fault, monkeypatch):
    monkeypatch.chdir(root)
    kind, damage, message = FAULTS[fault]
    monkeypatch.setattr(
        'mlore_mm.datasets.label_readers.mat.MAX_PIXELS', 99 * 98
    )  # so that the bomb can be a small one
    damage(root / FILES[kind])
    data = dataset(root)
    with pytest.raises(ValueError, match=message) as error:
        data[1]
    assert FILES[kind].split('/')[0] in str(error.value)
    assert len(str(error.value)) < 600
    assert data[0]['data_samples'].sample_id == 'a'
    assert not (root / 'intruded').exists()


def test_loader_workers_go_on_with_the_next_sample_and_do_not_hang(root):
    for kind, path in FILES.items():
        FAULTS[f'{kind}: cut short'][1](root / path)
    loader = dict(dataset=dataset(root, on_error='skip'), batch_size=1, num_workers=2, timeout=60)
    loader['sampler'] = dict(type='mlore_mm.ResumableSampler', shuffle=False)
    batches = islice(iter(Runner.build_dataloader(loader, seed=0)), 6)
    assert [batch['data_samples'][0].sample_id for batch in batches] == ['a', 'c', 'c'] * 2


def test_loader_workers_hand_the_message_to_their_parent(root):
    FAULTS['depth: NaN'][1](root / FILES['depth'])
    loader = dict(
        dataset=dataset(root), batch_size=1, num_workers=1, sampler=dict(type='DefaultSampler', shuffle=False)
    )
    with pytest.raises(ValueError, match='depth/b.npy.*NaN'):
        list(Runner.build_dataloader(loader, seed=0))


# ---- tolerated -------------------------------------------------------------------------------------------------------
def test_a_palette_is_read_as_ids(root):
    palette(root / FILES['semseg'])
    assert (dataset(root)[1]['data_samples'].gt.semseg == 4).all()


def test_normals_of_no_length_do_not_count_and_others_are_taken_as_stored(root):
    pixels = grey(0, (*SIZE, 4))
    pixels[:6] = 255  # (1, 1, 1): too long by sqrt(3); below: alpha 0, no label
    Image.fromarray(pixels).save(root / FILES['normals'])
    pipeline = [
        dict(type=x) for x in ('LoadMultiTaskImage', 'LoadMultiTaskLabels', 'MarkIgnore', 'PackMultiTaskInputs')
    ]
    data = dataset(root, pipeline=pipeline)
    normals = data[1]['data_samples'].gt.normals
    valid = data.tasks['normals'].valid_mask(normals[None])[0]
    assert valid[:, :6].all()
    assert not valid[:, 6:].any()
    assert torch.equal(normals[:, :6], torch.ones(3, 6, 16))


def test_depth_of_zero_is_no_reading(root):
    write_npy(root / FILES['depth'], depth(0))
    data = dataset(root)
    valid = data.tasks['depth'].valid_mask(data[1]['data_samples'].gt.depth[None])
    assert int((~valid).sum()) == 1


def test_names_and_line_ends_of_other_systems(root):
    for folder in ('images', 'labels', 'normals', 'sal'):
        (root / folder / 'b.png').rename(root / folder / 'größe mit Platz.png')
    (root / 'train.txt').write_bytes('a\r\ngröße mit Platz\r\n'.encode())
    data = dataset(root, ann_file='train.txt')
    assert [data[i]['data_samples'].sample_id for i in range(2)] == ['a', 'größe mit Platz']


@pytest.mark.parametrize('size', [(1, 1), (20_000, 20)])
def test_extreme_shapes_pass_the_training_pipeline(tmp_path, size):
    write_archive(tmp_path, ('x',), size)
    steps = [
        *(dict(type=x) for x in ('LoadMultiTaskImage', 'LoadMultiTaskLabels', 'MultiTaskRandomScale')),
        dict(type='MultiTaskRandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
        *(dict(type=x) for x in ('MultiTaskRandomFlip', 'PhotoMetricDistortion')),
        dict(type='CentrePad', size=(32, 32)),
        dict(type='PackMultiTaskInputs'),
    ]
    assert build(tmp_path, pipeline=steps)[0]['inputs'].shape == (3, 32, 32)
