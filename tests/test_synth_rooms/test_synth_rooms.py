"""SynthRooms: geometry, labels, determinism, and the two on-disk layouts."""

import json
import runpy
import sys
from dataclasses import is_dataclass, replace
from zlib import crc32

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mlore_mm.datasets.pascal_classes import HUMAN_PARTS, NORMALS_CLASSES
from mlore_mm.synth_rooms import Recipe, furniture, generate, make_view
from mlore_mm.synth_rooms import scene as scene_module
from mlore_mm.synth_rooms.classes import KINDS, PART_NAMES
from mlore_mm.synth_rooms.furniture import Thing
from mlore_mm.synth_rooms.generate import VERSION, image_name
from mlore_mm.synth_rooms.labels import annotation, boundaries, encode_normals, saliency
from mlore_mm.synth_rooms.layouts import LAYOUTS
from mlore_mm.synth_rooms.mannequin import clothes, mannequin, torso
from mlore_mm.synth_rooms.planner import Planner
from mlore_mm.synth_rooms.render import View, render
from mlore_mm.synth_rooms.scene import Light, sample_scene
from mlore_mm.synth_rooms.shapes import Material, ball, box, rod, turn
from mlore_mm.synth_rooms.textures import PATTERNS, lattice, noise, paint
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


# ---- the pictures of VERSION 1, on which published trainings rest: who changes them raises it ------------------------
def digest(*values) -> str:
    """CRC-32 of everything that makes up scenes; numbers to 4 digits, so that no processor rounds differently."""
    parts = []

    def collect(value) -> None:
        if is_dataclass(value):
            value = tuple(vars(value).values())
        if isinstance(value, dict):
            value = tuple(value.items())
        if isinstance(value, (list, tuple)):
            for item in value:
                collect(item)
        elif isinstance(value, np.ndarray) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            parts.append(np.array2string(np.round(np.asarray(value, float) + 1.3e-7, 4) + 0.0, threshold=10**6))
        else:
            parts.append(str(value))

    collect(values)
    return f'{crc32(" ".join(parts).encode()):08x}'


BUILDERS = (*scene_module.BUILDERS.values(), *(getattr(furniture, x) for x in ('table', 'television', 'bottle')))
BUILDERS += (furniture.window, furniture.door, furniture.picture)


def test_furniture_people_and_rooms_of_version_1():
    assert VERSION == 1
    things = [build(np.random.default_rng(seed)) for build in BUILDERS for seed in range(5)]
    people = [mannequin(np.random.default_rng(seed)) for seed in range(20)]
    rooms = [sample_scene(np.random.default_rng(seed), seed % 3) for seed in range(12)]
    assert (digest(things), digest(people), digest(rooms)) == ('f0c94c50', 'da6b47bf', '6bb86155')


def test_patterns_of_version_1():
    """On two faces of a box of 1.2 x 0.8 x 0.6 m."""
    rng, half = np.random.default_rng(0), np.array([0.6, 0.4, 0.3])
    places = rng.uniform(-1, 1, (3, 400)) * half[:, None]
    painted = []
    for pattern in PATTERNS:
        material = Material(pattern, ((0.9, 0.1, 0.2), (0.1, 0.8, 0.3), (0.2, 0.3, 0.7)), scale=0.15, seed=5)
        for face in np.eye(3):
            painted.append(paint(material, places, np.broadcast_to(face[:, None], (3, 400)), half))
    assert len(PATTERNS) == 16
    assert digest(painted) == '0d0ad7f7'


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


# ---- numbers by hand -------------------------------------------------------------------------------------------------
@pytest.fixture
def plan():
    """A room of 4 x 5 m with a square metre taken around (2, 2)."""
    made = Planner(np.random.default_rng(0), np.array([4.0, 2.5, 5.0]))
    made.floor.append((2.0, 2.0, 0.5, 0.5))
    made.walls.append((1, 2.0, 0.5, 0.9, 2.0))
    return made


@pytest.mark.parametrize(
    ('place', 'free'),
    [
        ((0.4, 0.4, 0.4, 0.4), True),
        ((0.39, 0.4, 0.4, 0.4), False),
        ((0.4, 0.39, 0.4, 0.4), False),
        ((3.6, 4.6, 0.4, 0.4), True),
        ((3.61, 4.6, 0.4, 0.4), False),
        ((3.6, 4.61, 0.4, 0.4), False),
        ((2.0, 2.97, 0.4, 0.4), True),  # 7 cm apart
        ((2.0, 2.95, 0.4, 0.4), False),
        ((2.97, 2.0, 0.4, 0.4), True),
        ((1.05, 2.0, 0.4, 0.4), False),
    ],
)
def test_what_stands_in_a_room_is_clear_of_the_rest(plan, place, free):
    assert plan.free(*place) == free
    x, z, half, _ = place
    thing = Thing('bin', (), (2 * half, 1.0, 2 * half))
    assert (plan.standing(thing, x, z, 0.0) is not None) == free
    assert (len(plan.floor) == 2) == free


def test_turned_things_take_more_room(plan):
    plan.standing(Thing('bed', (), (1.2, 0.5, 0.4)), 2.0, 4.0, np.pi / 2)
    assert plan.floor[-1] == pytest.approx((2, 4, 0.2, 0.6))
    plan.standing(Thing('bed', (), (0.6, 0.5, 0.6)), 0.6, 0.6, np.pi / 4)
    assert plan.floor[-1][2:] == pytest.approx((0.3 * 2**0.5,) * 2)


@pytest.mark.parametrize(
    ('wall', 'yaw', 'place'), [(0, 0, (1, 0.3)), (1, -90, (3.7, 1)), (2, 180, (1, 4.7)), (3, 90, (0.3, 1))]
)
def test_walls_face_the_room(plan, wall, yaw, place):
    found, (x, y, z) = plan.on_wall(wall, 1.0, 0.3, 1.5)
    assert (np.degrees(found), (x, z), y) == (pytest.approx(yaw), pytest.approx(place), 1.5)
    inward = turn(found) @ (0, 0, 1)  # fronts look along +z
    assert inward @ (np.array([2, 0, 2.5]) - (x, 0, z)) > 0
    assert plan.wall_length(wall) == (4 if wall % 2 == 0 else 5)


@pytest.mark.parametrize(
    ('place', 'free'),
    [
        ((0, 0.56, 0.5, 0, 2), True),
        ((0, 0.54, 0.5, 0, 2), False),
        ((0, 3.44, 0.5, 0, 2), True),
        ((0, 3.46, 0.5, 0, 2), False),
        ((1, 4.44, 0.5, 0, 2), True),
        ((1, 3.11, 0.5, 0, 2), True),  # 11 cm beside the window
        ((1, 3.09, 0.5, 0, 2), False),
        ((1, 0.91, 0.5, 0, 2), False),
        ((2, 2.0, 0.5, 0, 2), True),  # on another wall
        ((1, 2.0, 0.5, 0, 0.8), True),  # below it
        ((1, 2.0, 0.5, 2.1, 2.3), True),
    ],
)
def test_what_hangs_on_a_wall_is_clear_of_the_rest(plan, place, free):
    assert plan.wall_free(*place) == free


def test_what_stands_against_a_wall_is_taken_there_and_on_the_floor(plan):
    thing = Thing('cabinet', (box((0, 0.5, 0), (1, 1, 0.4), Material()),), (1.0, 1.0, 0.4))
    placed, yaw, position = plan.against_wall(thing)
    wall = plan.walls[-1][0]
    assert plan.walls[-1][2:] == (0.5, 0.0, 1.0)
    assert plan.floor[-1][2:] == ((0.5, 0.2) if wall % 2 == 0 else (0.2, 0.5))
    gap = [position[2], 4 - position[0], 5 - position[2], position[0]][wall]
    assert gap == pytest.approx(0.25)  # half its depth, and 5 cm
    np.testing.assert_allclose(placed.shapes[0].centre, position + (0, 0.5, 0))
    assert plan.against_wall(Thing('bed', (), (9.0, 1.0, 1.0))) is None
    door = plan.hung(Thing('door', (box((0, 0, 0), (0.8, 2, 0.1), Material()),), (0.8, 2.0, 0.1)), 0.0)
    assert door.shapes[0].centre[1] == 1
    assert len(plan.floor) == 3  # nothing stands in front of it
    assert plan.floor[-1][2:] == (0.4, 0.4)
    picture = plan.hung(Thing('picture', (box((0, 0, 0), (0.3, 0.2, 0.1), Material()),), (0.3, 0.2, 0.1)), 2.2)
    assert picture.shapes[0].centre[1] == pytest.approx(2.3)
    assert len(plan.floor) == 3


def test_sizes_of_images_by_number():
    assert [LAYOUTS['pascal'].image_size(i, (100, 160)) for i in range(5)] == [
        (100, 160),
        (100, 160),
        (160, 100),
        (100, 160),
        (90, 160),
    ]
    assert LAYOUTS['pascal'].image_size(7, (100, 160)) == (160, 100)
    assert LAYOUTS['nyud'].image_size(2, (100, 160)) == (100, 160)
    assert image_name('val', 3) == 'val_00003'


def test_small_people_are_not_salient_and_closeness_to_the_middle_counts():
    """A person of 0.5 % is; of two things the smaller one in the middle, by a Gaussian of 0.18 of the sides."""
    instance = np.zeros((20, 40), int)
    instance[0, :4] = 1
    instance[10, 20] = 2
    kinds = ('wall', 'person', 'bed')
    np.testing.assert_array_equal(saliency(small_view(instance, kinds)) == 255, instance == 1)
    instance[0, 3] = 0
    np.testing.assert_array_equal(saliency(small_view(instance, kinds)) == 255, instance == 2)
    assert saliency(small_view(np.zeros((4, 4), int), ('wall',))).max() == 0
    y, x = (np.mgrid[:20, :40] + 0.5) / np.array([20, 40])[:, None, None]
    near, far = np.zeros((2, 20, 40), bool)
    near[9:11, 19:21], far[14:19, 26:37] = True, True
    weights = np.exp(-((y - 0.5) ** 2 + (x - 0.5) ** 2) / (2 * 0.18**2))
    expected = near if weights[near].sum() > weights[far].sum() else far
    view = small_view(np.where(near, 1, np.where(far, 2, 0)), ('wall', 'bed', 'chair'))
    np.testing.assert_array_equal(saliency(view) == 255, expected)


def test_light_comes_as_a_disc_or_a_point():
    light = Light(np.array([1.0, 2.0, 3.0]), np.ones(3), radius=0.5)
    points = np.array(light.points(soft=True))
    np.testing.assert_allclose(points.mean(axis=0), light.position)
    np.testing.assert_allclose(np.linalg.norm(points - light.position, axis=1), 0.5)
    assert np.ptp(points[:, 1]) == 0
    assert len(light.points(soft=False)) == len(Light(light.position, np.ones(3)).points(soft=True)) == 1


def test_a_ray_from_a_face_leaves_its_box():
    """Points on a surface look at the lights; the solid itself is no hit at a distance of 0."""
    solid = box((0, 0, 0), (2, 2, 2), Material())
    outward, through = np.array([[0.0], [0.0], [-1.0]]), np.array([[0.0], [0.0], [1.0]])
    for rays in (outward, through):
        assert solid.intersect(np.array([0.0, 0.0, -1.0]), rays).tolist() == [np.inf]
    assert solid.intersect(np.array([0.0, 0.0, -3.0]), through).tolist() == [2]
