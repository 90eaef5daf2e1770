"""Rooms, which published trainings rest on: who changes them raises VERSION."""

import numpy as np

from mlore_mm.synth_rooms import furniture
from mlore_mm.synth_rooms import scene as scene_module
from mlore_mm.synth_rooms.generate import VERSION
from mlore_mm.synth_rooms.mannequin import mannequin
from mlore_mm.synth_rooms.scene import Light, sample_scene
from tests.test_synth_rooms.rooms import digest

BUILDERS = (*scene_module.BUILDERS.values(), *(getattr(furniture, x) for x in ('table', 'television', 'bottle')))
BUILDERS += (furniture.window, furniture.door, furniture.picture)


def test_furniture_people_and_rooms_of_version_1():
    assert VERSION == 1
    things = [build(np.random.default_rng(seed)) for build in BUILDERS for seed in range(5)]
    people = [mannequin(np.random.default_rng(seed)) for seed in range(20)]
    rooms = [sample_scene(np.random.default_rng(seed), seed % 3) for seed in range(12)]
    assert (digest(things), digest(people), digest(rooms)) == ('f0c94c50', 'da6b47bf', '6bb86155')


def test_light_comes_as_a_disc_or_a_point():
    light = Light(np.array([1.0, 2.0, 3.0]), np.ones(3), radius=0.5)
    points = np.array(light.points(soft=True))
    np.testing.assert_allclose(points.mean(axis=0), light.position)
    np.testing.assert_allclose(np.linalg.norm(points - light.position, axis=1), 0.5)
    assert np.ptp(points[:, 1]) == 0
    assert len(light.points(soft=False)) == len(Light(light.position, np.ones(3)).points(soft=True)) == 1
