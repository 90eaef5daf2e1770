import pickle
import random

import numpy as np
import torch

from mlore_mm.utils.seeding import SeededIndex, derive_seed, seed_all


def draws():
    return random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002


def test_a_seed_sets_all_three_generators():
    seed_all(5)
    first = draws()
    draws()
    seed_all(5)
    assert draws() == first
    seed_all(6)
    assert not set(draws()) & set(first)


def test_seeds_of_neighbours_differ_and_are_fixed():
    seeds = {derive_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900
    assert derive_seed(0, 1) != derive_seed(1, 0)
    # A resumed training depends on these never changing.
    assert (derive_seed(3, 0, 7), derive_seed(0)) == (3908964647, 2968811710)


def test_an_index_keeps_its_seed_on_the_way_to_a_worker():
    index = pickle.loads(pickle.dumps(SeededIndex(3, seed=9)))
    assert (index, index.seed) == (3, 9)
    assert ['a', 'b', 'c', 'd'][index] == 'd'


def test_what_is_computed_from_an_index_keeps_its_seed():
    index = SeededIndex(7, seed=9)
    for computed, value in (
        (index + 1, 8),
        (1 + index, 8),
        (index - 2, 5),
        (9 - index, 2),
        (index * 2, 14),
        (2 * index, 14),
        (index % 4, 3),
        (index // 2, 3),
        (-index, -7),
        (+index, 7),
        (abs(-index), 7),
    ):
        assert (type(computed), computed, computed.seed) == (SeededIndex, value, 9)
    assert type(index + 0.5) is float
    assert index == 7
