"""Adam's bias correction by the age of each connection."""

from __future__ import annotations

import numpy as np
import pytest

from rewirl.nn import Group, Pool, SparseMLP, pack
from rewirl.topology import random_topology

SIZES = [70, 50, 3]


def network(seed: int) -> SparseMLP:
    places = random_topology([(50, 70), (3, 50)], [0.3, 1.0], np.random.default_rng(0))
    return SparseMLP.initialised(SIZES, places, np.random.default_rng(seed))


def step(group: Group, rng: np.random.Generator, learning_rate: float = 1e-3) -> None:
    x = pack(rng.standard_normal((33, 70)).astype(np.float32))
    gradient = pack(rng.standard_normal((33, 3)).astype(np.float32))
    group.forward(x)
    group.backward(x, [gradient])
    group.adam(learning_rate, 0.0)


@pytest.fixture
def pool() -> Pool:
    return Pool(1)


def test_without_rewiring_ages_change_nothing(pool: Pool) -> None:
    plain, aged = network(1), network(1)
    aged.count_ages()
    for each in (plain, aged):
        group, rng = Group([each], pool), np.random.default_rng(2)
        for _ in range(7):
            step(group, rng)
    for one, other in zip(plain.layers, aged.layers, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize(("ages", "first_step"), [(True, 1.0), (False, None)])
def test_the_first_step_of_a_grown_connection(pool: Pool, ages: bool, first_step: float | None) -> None:
    one = network(1)
    if ages:
        one.count_ages()
    group, rng = Group([one], pool), np.random.default_rng(2)
    for _ in range(40):
        step(group, rng)
    grown = np.setdiff1d(np.arange(3500), one.layers[0].places())[:50]
    one.rewire(0, np.arange(50), grown)
    step(group, rng, learning_rate=1e-3)
    new = np.isin(one.layers[0].places(), grown)
    moved = one.layers[0].gradient[new] != 0
    lengths = np.abs(one.layers[0].values[new][moved]) / 1e-3
    # m = 0.1 g and v = 0.001 g^2, each divided by its correction: at age 1 their own factors, so the step is the
    # learning rate; by the steps of the network those of step 41.
    expected = first_step or 0.1 / (1 - 0.9**41) / np.sqrt(0.001 / (1 - 0.999**41))
    np.testing.assert_allclose(lengths, expected, rtol=1e-4)
    assert moved.sum() > 20


def test_ages_are_saved_and_continued_to_the_bit(pool: Pool) -> None:
    one = network(1)
    one.count_ages()
    group, rng = Group([one], pool), np.random.default_rng(2)
    for _ in range(3):
        step(group, rng)
    one.rewire(0, np.arange(5), np.setdiff1d(np.arange(3500), one.layers[0].places())[:5])
    assert sorted(np.unique(one.layers[0].born)) == [0, 3]
    two = SparseMLP.from_state(*one.state())
    for each in (one, two):
        step(Group([each], pool), np.random.default_rng(4))
    np.testing.assert_array_equal(one.layers[0].values, two.layers[0].values)
