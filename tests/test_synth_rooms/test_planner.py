"""Where things stand, by hand."""

import numpy as np
import pytest

from mlore_mm.synth_rooms.furniture import Thing
from mlore_mm.synth_rooms.planner import Planner
from mlore_mm.synth_rooms.shapes import Material, box, turn


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
