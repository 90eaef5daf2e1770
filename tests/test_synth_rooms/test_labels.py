"""Labels of a view: boundaries, saliency, normals, parts."""

import numpy as np
import pytest

from mlore_mm.synth_rooms import Recipe, make_view
from mlore_mm.synth_rooms.classes import PART_NAMES
from mlore_mm.synth_rooms.labels import annotation, boundaries, encode_normals, saliency
from tests.test_synth_rooms.rooms import SIZE, rendered, small_view


@pytest.fixture(scope='module')
def pascal_views():
    recipe = Recipe('pascal', seed=3, size=SIZE)
    return [make_view(recipe, 'train', i) for i in range(6)]


def test_normals_survive_encoding():
    _, view, _ = rendered(0)
    image = encode_normals(view.normals)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image / 255 * 2 - 1, view.normals, atol=1 / 255 + 1e-9)


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
