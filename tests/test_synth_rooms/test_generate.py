"""Whole folders of rooms, in the layouts of the real archives. Who changes a picture raises VERSION."""

import json
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mlore_mm.datasets.pascal_classes import HUMAN_PARTS
from mlore_mm.synth_rooms import Recipe, generate, make_view
from mlore_mm.synth_rooms.classes import KINDS, PART_NAMES
from mlore_mm.synth_rooms.labels import boundaries, saliency
from tests.shared import REPO, shared_path
from tests.test_datasets.golden import build_dataset, run_stage
from tests.test_synth_rooms.rooms import SIZE


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Both layouts, four training and two validation images each."""
    out = tmp_path_factory.mktemp('synth_rooms')
    for layout in ('nyud', 'pascal'):
        generate(out, Recipe(layout, size=SIZE, train=4, val=2), workers=1)
    return out


def files(root):
    return {str(p.relative_to(root)): p for p in sorted(root.rglob('*')) if p.is_file()}


# Mean and deviation of the photo; depth, instance, normals, parts and saliency by their means, in various units.
PICTURES = [[151.2, 51.7, 101.2, 64.0, 42.5, 0.0, 21.4], [145.3, 58.3, 100.3, 41.8, 42.5, 50.1, 12.8]]


def test_pictures_of_version_1():
    """Labels and light of two images, within what another rounding may change at borders."""
    found = []
    for layout, index in (('nyud', 1), ('pascal', 2)):
        view = make_view(Recipe(layout, size=(48, 64)), 'train', index)
        photo = view.photo.astype(float)
        found.append([photo.mean(), photo.std(), view.depth.mean() * 30, view.instance.mean() * 10])
        found[-1] += [np.abs(view.normals).mean() * 100, (view.part > 0).mean() * 1000, saliency(view).mean()]
    np.testing.assert_allclose(found, PICTURES, atol=1)


def test_images_do_not_depend_on_the_number_of_workers_or_images(made, tmp_path):
    for layout, folder in (('nyud', 'NYUDv2'), ('pascal', 'PASCALContext')):
        generate(tmp_path, Recipe(layout, size=SIZE, train=6, val=2), workers=3)
        one, many = files(made / folder), files(tmp_path / folder)
        assert set(one) <= set(many)
        names = [n for n in one if not n.endswith(('.txt', '.json'))]
        assert all(one[n].read_bytes() == many[n].read_bytes() for n in names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['NYUDv2', 'PASCALContext']  # nothing left over


def test_seeds_splits_and_images_differ():
    recipe = Recipe('nyud', size=(32, 40))
    jobs = ((recipe, 'train', 1), (recipe, 'train', 3), (recipe, 'val', 1), (replace(recipe, seed=1), 'train', 1))
    photos = [make_view(*job).photo.tobytes() for job in jobs]
    assert len(set(photos)) == len(jobs)


def test_layout_is_that_of_the_real_archives(made):
    golden = shared_path('golden/data')
    for folder in ('NYUDv2', 'PASCALContext'):
        theirs, ours = files(golden / folder), files(made / folder)
        kinds = [{(n.rsplit('/', 1)[0], n.rsplit('.', 1)[1]) for n in f if '/' in n} for f in (theirs, ours)]
        assert kinds[0] == kinds[1]
        for place, suffix in kinds[0] - {('JPEGImages', 'jpg')}:
            pair = [next(p for n, p in f.items() if n.startswith(place + '/')) for f in (theirs, ours)]
            if suffix == 'png':
                modes = [Image.open(p).mode for p in pair]
                assert modes[0] == modes[1], place
            elif suffix == 'npy':
                assert np.load(pair[0]).dtype == np.load(pair[1]).dtype


def test_mat_files_read_like_the_real_ones(made):
    golden = shared_path('golden/data') / 'PASCALContext'
    ours = made / 'PASCALContext'
    for place, key in (('human_parts', 'anno'), ('pascal-context/trainval', 'LabelMap')):
        trees = [
            set().union(*[structure_pairs(scipy.io.loadmat(p)[key], key) for p in sorted((root / place).glob('*.mat'))])
            for root in (golden, ours)
        ]
        assert trees[0] == trees[1]


def structure_pairs(value, path):
    """Every path of fields in a MATLAB value with the type at its end."""
    if not value.dtype.names:
        return {(path, 'text' if value.dtype.kind == 'U' else str(value.dtype), value.ndim)}
    return set().union(*[structure_pairs(row[n], f'{path}.{n}') for row in value.ravel() for n in value.dtype.names])


def test_values_and_sizes_of_the_written_maps(made):
    nyud, pascal = made / 'NYUDv2', made / 'PASCALContext'
    names = (nyud / 'gt_sets' / 'train.txt').read_text().split()
    assert len(names) == 4
    for name in names:
        segmentation = np.asarray(Image.open(nyud / 'segmentation' / f'{name}.png'))
        depth = np.load(nyud / 'depth' / f'{name}.npy')
        assert segmentation.shape == depth.shape == SIZE
        assert 1 <= segmentation.min() <= segmentation.max() <= 40
        assert 0.3 < depth.min() < depth.max() < 12
        assert set(np.unique(Image.open(nyud / 'edge' / f'{name}.png'))) == {0, 255}
    listed = json.loads((pascal / 'ImageSets' / 'Parts' / 'train.txt').read_text())
    names = (pascal / 'ImageSets' / 'Context' / 'train.txt').read_text().split()
    assert list(listed) == names
    for index, name in enumerate(names):
        photo = Image.open(pascal / 'JPEGImages' / f'{name}.jpg')
        assert photo.size == ((60, 80) if index == 2 else (80, 60))
        voc = pascal / 'semseg' / 'VOC12' / f'{name}.png'
        assert voc.exists() == (index != 3)
        semseg = np.asarray(Image.open(voc if voc.exists() else pascal / 'semseg' / 'pascal-context' / f'{name}.png'))
        assert semseg.shape == photo.size[::-1]
        assert set(np.unique(semseg)) - {0} == set(listed[name])
        context = scipy.io.loadmat(pascal / 'pascal-context' / 'trainval' / f'{name}.mat')['LabelMap']
        assert (context[semseg == 15] == 284).all()
        assert ((context == 284) == (semseg == 15)).all()


def test_the_nyud_dataset_reads_back_what_was_rendered(made):
    dataset = build_dataset('nyud', made / 'NYUDv2', 'train')
    for index in range(len(dataset)):
        view = make_view(Recipe('nyud', size=SIZE), 'train', index)
        read = {name: np.squeeze(array) for name, array in run_stage(dataset, index, 'raw', 'nyud').items()}
        np.testing.assert_array_equal(read['image'], view.photo)
        np.testing.assert_array_equal(read['semseg'], view.labels('nyud') - 1)
        np.testing.assert_array_equal(read['depth'], view.depth)
        np.testing.assert_array_equal(read['edge'], boundaries(view) / 255)
        np.testing.assert_allclose(read['normals'], view.normals, atol=1 / 254)


def test_the_pascal_dataset_reads_back_what_was_rendered(made):
    dataset = build_dataset('pascal', made / 'PASCALContext', 'train')
    body = np.array([0, *(HUMAN_PARTS[name] for name in PART_NAMES)])
    for index in range(len(dataset)):
        view = make_view(Recipe('pascal', size=SIZE), 'train', index)
        read = {name: np.squeeze(array) for name, array in run_stage(dataset, index, 'raw', 'pascal').items()}
        assert np.abs(read['image'].astype(int) - view.photo).mean() < 6  # JPEG
        np.testing.assert_array_equal(read['semseg'], view.labels('voc'))
        np.testing.assert_array_equal(read['sal'] > 0, saliency(view) > 0)
        np.testing.assert_array_equal(read['human_parts'], body[view.part])
        plant = (view.labels('context') == KINDS['plant'].context)[..., None]
        np.testing.assert_allclose(read['normals'], np.where(plant, 0, view.normals), atol=1 / 254)
        assert 0 < (read['edge'] > 0).mean() < 0.15


def test_a_second_call_reuses_what_is_there_and_nothing_foreign_is_replaced(tmp_path):
    recipe = Recipe('nyud', size=(32, 40), train=2, val=1)
    folder, reused = generate(tmp_path, recipe, workers=1)
    assert not reused
    before = (folder / 'images' / 'train_00000.png').stat().st_mtime_ns
    assert generate(tmp_path, recipe, workers=1) == (folder, True)
    assert (folder / 'images' / 'train_00000.png').stat().st_mtime_ns == before
    other = replace(recipe, seed=7)
    with pytest.raises(ValueError, match='seed: 0 there, 7 asked for'):
        generate(tmp_path, other, workers=1)
    assert generate(tmp_path, other, workers=1, overwrite=True) == (folder, False)
    assert json.loads((folder / 'synth_rooms.json').read_text())['seed'] == 7
    (folder / 'synth_rooms.json').unlink()
    with pytest.raises(ValueError, match='did not make it'):
        generate(tmp_path, other, workers=1, overwrite=True)


def test_an_unreadable_manifest_is_named(tmp_path):
    (tmp_path / 'NYUDv2').mkdir()
    (tmp_path / 'NYUDv2' / 'synth_rooms.json').write_text('{"seed": ')
    with pytest.raises(ValueError, match=r'synth_rooms.json cannot be read'):
        generate(tmp_path, Recipe('nyud'), workers=1)


def test_a_failure_leaves_no_half_made_folder(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, Recipe('nyud', size=(32, 40), train=2, val=1), workers=1, report=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'layout': 'coco'}, "unknown layout 'coco'"),
        ({'size': (20, 160)}, r'size is \(20, 160\)'),
        ({'train': 0}, 'got train=0'),
        ({'seed': -1}, 'seed is -1'),
    ],
)
def test_impossible_recipes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({'layout': 'nyud'} | change))


def test_command_line_says_what_it_wrote(tmp_path, monkeypatch, capsys):
    tool = REPO / 'tools' / 'dataset_converters' / 'synth_rooms.py'
    options = [str(tmp_path / 'a'), '--layout', 'nyud', '--size', '32', '48', '--train', '2', '--val', '1']

    def call(*more):
        monkeypatch.setattr(sys, 'argv', [str(tool), *options, *more])
        with pytest.raises(SystemExit) as status:
            runpy.run_path(str(tool), run_name='__main__')
        return status.value.code, *capsys.readouterr()

    code, out, _ = call()
    assert code == 0
    assert f'{tmp_path / "a" / "NYUDv2"}: 2 training and 1 validation images of 32x48 written.' in out
    assert '3/3 images' in out
    assert 'already there' in call()[1]
    code, _, error = call('--seed', '4')
    assert code == 1
    assert 'Add --overwrite' in error
