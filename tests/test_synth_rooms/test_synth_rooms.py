"""SynthRooms: geometry, labels, determinism, and the two on-disk layouts."""

import json
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mlore_mm.datasets.pascal_classes import HUMAN_PARTS, NORMALS_CLASSES
from mlore_mm.synth_rooms import Recipe, generate, make_view
from mlore_mm.synth_rooms.classes import KINDS, PART_NAMES
from mlore_mm.synth_rooms.labels import annotation, boundaries, encode_normals, saliency
from mlore_mm.synth_rooms.mannequin import clothes, mannequin, torso
from mlore_mm.synth_rooms.render import View, render
from mlore_mm.synth_rooms.scene import sample_scene
from mlore_mm.synth_rooms.shapes import Material, ball, box, rod
from mlore_mm.synth_rooms.textures import lattice, noise
from tests.shared import REPO, shared_path
from tests.test_datasets.golden import build_dataset, run_stage

SIZE = (60, 80)


def rendered(seed: int, people: int = 1):
    """A scene, its view, and the viewing directions in camera space, (H, W, 3), of depth 1."""
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, people)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].reshape(2, -1) + 0.5
    world = scene.camera.rays(rows, columns, SIZE)
    return scene, render(scene, SIZE, rng), (scene.camera.axes.T @ world).T.reshape(*SIZE, 3)


@pytest.fixture(scope='module')
def pascal_views():
    recipe = Recipe('pascal', seed=3, size=SIZE)
    return [make_view(recipe, 'train', i) for i in range(6)]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Both layouts, four training and two validation images each."""
    out = tmp_path_factory.mktemp('synth_rooms')
    for layout in ('nyud', 'pascal'):
        generate(out, Recipe(layout, size=SIZE, train=4, val=2), workers=1)
    return out


def files(root):
    return {str(p.relative_to(root)): p for p in sorted(root.rglob('*')) if p.is_file()}


@pytest.mark.parametrize(
    'shape',
    [
        box((0.2, 0.1, 3.0), (1.0, 0.6, 0.8), Material()),
        ball((0.0, 0.2, 3.0), (0.5, 0.3, 0.9), Material()),
        rod((-0.3, -0.4, 2.6), (0.4, 0.5, 3.4), 0.4, 0.15, Material()),
    ],
    ids=['box', 'ellipsoid', 'frustum'],
)
def test_rays_stop_at_the_first_point_of_the_solid(shape):
    def inside(points):
        x, y, z = (shape.axes / shape.half).T @ (points - shape.centre[:, None])
        if shape.kind == 'box':
            return np.maximum(np.maximum(abs(x), abs(y)), abs(z)) <= 1
        if shape.kind == 'ellipsoid':
            return x * x + y * y + z * z <= 1
        return (abs(y) <= 1) & (np.hypot(x, z) <= (1 + shape.top) / 2 - (1 - shape.top) / 2 * y)

    rng = np.random.default_rng(0)
    dirs = np.concatenate([rng.uniform(-0.3, 0.3, (2, 400)), np.ones((1, 400))])
    t = shape.intersect(np.zeros(3), dirs)
    steps = np.linspace(0, 6, 1201)
    marched = np.stack([inside(dirs * s) for s in steps])  # (steps, rays)
    first = np.where(marched.any(0), steps[marched.argmax(0)], np.inf)
    clear = marched.sum(0) != 1  # a grazing ray may pass between two steps
    assert np.isfinite(t).sum() > 20
    assert (np.isfinite(t) == np.isfinite(first))[clear].mean() > 0.98
    both = np.isfinite(t) & np.isfinite(first)
    assert np.abs(t[both] - first[both]).max() <= 0.005 + 1e-9
    normal, _, _ = shape.surface(dirs[:, both] * t[both])
    assert ((normal * dirs[:, both]).sum(0) < 0).all()
    assert inside(dirs[:, both] * t[both] - 1e-6 * normal).all()


@pytest.mark.parametrize('seed', range(4))
def test_normals_are_those_of_the_depth_map_on_planes(seed):
    _, view, rays = rendered(seed)
    points = rays * view.depth[..., None]
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    estimate = np.cross(down, across)  # y is up, rows go down
    estimate /= np.linalg.norm(estimate, axis=-1, keepdims=True)
    normals, instance = view.normals, view.instance
    flat = np.ones(estimate.shape[:2], bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        window = (slice(dy, dy + flat.shape[0]), slice(dx, dx + flat.shape[1]))
        flat &= instance[window] == instance[1:-1, 1:-1]
        flat &= np.abs(normals[window] - normals[1:-1, 1:-1]).max(-1) < 1e-6
    cosine = (estimate * normals[1:-1, 1:-1]).sum(-1)[flat]
    assert flat.mean() > 0.4
    # Two parallel faces of one thing at different depth (steps of a chair) look flat too, so not all pixels agree.
    assert (np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 1).mean() > 0.97


@pytest.mark.parametrize('seed', range(3))
def test_camera_space_is_right_up_and_towards_the_camera(seed):
    scene, view, rays = rendered(seed)
    np.testing.assert_allclose(np.linalg.norm(view.normals, axis=-1), 1, atol=1e-9)
    assert ((view.normals * rays).sum(-1) < 0).all()  # every visible surface faces the camera
    floor = view.instance == 0
    assert floor.any()
    np.testing.assert_allclose(view.normals[floor], np.broadcast_to(scene.camera.axes.T[:, 1], (floor.sum(), 3)))
    assert view.normals[floor][0, 1] > 0.8
    depth = np.where(floor, view.depth, np.nan)
    steps = np.diff(depth, axis=0)
    assert (steps[np.isfinite(steps)] < 0).all()  # lower in the image is nearer
    # The plane of the floor lies as far below the camera as the camera stands high.
    heights = -(rays * view.depth[..., None] @ scene.camera.axes.T[:, 1])[floor]
    np.testing.assert_allclose(heights, scene.camera.position[1], rtol=1e-5)


def test_normals_survive_encoding():
    _, view, _ = rendered(0)
    image = encode_normals(view.normals)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image / 255 * 2 - 1, view.normals, atol=1 / 255 + 1e-9)


def small_view(instance, kinds) -> View:
    instance = np.asarray(instance)
    zeros = np.zeros(instance.shape)
    return View(np.zeros((*instance.shape, 3), np.uint8), zeros, zeros, instance, kinds, zeros.astype(np.uint8))


def test_boundary_is_one_pixel_on_the_side_of_the_thing():
    view = small_view([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], ('wall', 'bed'))
    expected = [[0, 0, 0, 0], [0, 0, 255, 255], [0, 0, 255, 0], [0, 0, 255, 0]]
    np.testing.assert_array_equal(boundaries(view), expected)


@pytest.mark.parametrize('seed', range(3))
def test_boundaries_are_where_instances_change(seed):
    _, view, _ = rendered(seed)
    edge, instance = boundaries(view) > 0, view.instance
    beside = np.zeros_like(edge)
    for axis in (0, 1):
        low, high = [slice(None)] * 2, [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        low, high = tuple(low), tuple(high)
        change = instance[low] != instance[high]
        assert (edge[low] | edge[high])[change].all()
        beside[low] |= change
        beside[high] |= change
    assert edge.any()
    assert beside[edge].all()


def test_salient_is_the_person_or_else_the_thing_in_the_middle():
    instance = np.zeros((20, 20), int)
    instance[8:13, 8:13] = 1
    instance[:, 17:] = 2
    kinds = ('wall', 'chair', 'bed')
    np.testing.assert_array_equal(saliency(small_view(instance, kinds)) == 255, instance == 1)
    kinds = ('wall', 'chair', 'person')
    np.testing.assert_array_equal(saliency(small_view(instance, kinds)) == 255, instance == 2)
    kinds = ('wall', 'window', 'bed')
    np.testing.assert_array_equal(saliency(small_view(instance, kinds)) == 255, instance == 2)


def test_half_of_the_images_show_people(pascal_views):
    for index, view in enumerate(pascal_views):
        shown = {view.kinds[i] for i in np.unique(view.instance)}
        assert ('person' in shown) == (index % 2 == 0)


def test_parts_make_up_the_person(pascal_views):
    seen = set()
    for view in pascal_views:
        person = view.labels('voc') == 15
        np.testing.assert_array_equal(view.part > 0, person)
        anno, classes = annotation(view, 'x')
        assert classes.count(15) == len({i for i in np.unique(view.instance) if view.kinds[i] == 'person'})
        for name, number, mask, parts in anno['objects'].ravel():
            assert mask.any()
            assert (name == 'person') == (number == 15) == (parts.size > 0)
            if parts.size:
                np.testing.assert_array_equal(sum(m for _, m in parts.ravel()), mask)
                seen |= {p for p, _ in parts.ravel()}
    assert seen <= set(PART_NAMES)
    assert {'head', 'hair', 'torso', 'luarm', 'rlarm', 'luleg', 'llleg'} <= seen


def test_left_and_right_are_those_of_the_person():
    body, _ = mannequin(np.random.default_rng(0))  # looks along +z with y up, so its left is +x
    for side, sign in (('l', 1), ('r', -1)):
        for limb in ('uarm', 'uleg', 'eye', 'ear'):
            assert all(sign * s.centre[0] > 0 for s in body.shapes if s.part == side + limb)
    nose, neck = (next(s for s in body.shapes if s.part == p) for p in ('nose', 'neck'))
    assert nose.centre[2] > neck.centre[2]
    assert abs(min(s.centre[1] - s.half[1] for s in body.shapes if s.part.endswith('foot'))) < 0.15


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


def test_normals_are_valid_by_context_class_for_all_but_plants():
    assert [kind for kind, numbers in KINDS.items() if numbers.context not in NORMALS_CLASSES] == ['plant']
    assert {NORMALS_CLASSES[KINDS[kind].context] for kind in ('wall', 'floor', 'door')} == {'wall', 'floor', 'door'}


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


def test_noise_is_between_its_four_corners():
    """At the corners a corner's number, in the middle their mean, at a quarter 3/16 - 2/64 of the next one."""
    corners = lattice(np.array([2.0, 3, 2, 3]), np.array([5.0, 5, 6, 6]), 7)
    assert len(set(corners)) == 4
    assert noise(np.array([2.0, 3, 2, 3]), np.array([5.0, 5, 6, 6]), 7) == pytest.approx(corners)
    assert noise(np.array([2.5]), np.array([5.5]), 7) == pytest.approx(corners.mean())
    low, high = (corners[i] * 0.84375 + corners[i + 1] * 0.15625 for i in (0, 2))
    assert noise(np.array([2.25]), np.array([5.75]), 7) == pytest.approx(low * 0.15625 + high * 0.84375)


def test_the_trunk_stands_upright_between_hip_and_shoulders():
    wear = clothes(np.random.default_rng(0))
    for shape in torso(wear):
        np.testing.assert_allclose(shape.centre[[0, 2]], 0, atol=1e-12)
        np.testing.assert_allclose(np.abs(shape.axes[:, 1]), [0, 1, 0], atol=1e-12)
        assert 0.9 < shape.centre[1] < 1.41
    assert torso(wear)[0].half[1] * 2 == pytest.approx(0.41)  # 0.97 to 1.38 m
