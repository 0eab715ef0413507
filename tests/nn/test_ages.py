"""Adam's bias correction by the age of each connection."""

from __future__ import annotations

import numpy as np
import pytest

from rewirl.nn import Ensemble, Network, Pool, ReLU, initialised, mlp, names_of, pack
from rewirl.topology import random_topology

SIZES = [70, 50, 3]


def network(seed: int) -> Network:
    places = random_topology([(50, 70), (3, 50)], [0.3, 1.0], np.random.default_rng(0))
    by_name = dict(zip(names_of(2), places, strict=True))
    return initialised(SIZES[0], mlp(SIZES), by_name, np.random.default_rng(seed))


def step(ensemble: Ensemble, rng: np.random.Generator, learning_rate: float = 1e-3, beta1: float = 0.9) -> None:
    x = pack(rng.standard_normal((33, 70)).astype(np.float32))
    gradient = pack(rng.standard_normal((33, 3)).astype(np.float32))
    ensemble.forward(x)
    ensemble.backward(x, [gradient])
    ensemble.adam(learning_rate, 0.0, beta1=beta1)


@pytest.fixture
def pool() -> Pool:
    return Pool(1)


@pytest.mark.parametrize("dense", [False, True])
def test_without_rewiring_ages_change_nothing(pool: Pool, dense: bool) -> None:
    plain, aged = (dense_network(ages=False) if dense else network(1) for _ in range(2))
    aged.count_ages()
    for each in (plain, aged):
        ensemble, rng = Ensemble([each], pool), np.random.default_rng(2)
        for turn in range(7):
            step(ensemble, rng, learning_rate=(1e-3, 5e-4)[turn > 1], beta1=(0.9, 0.8)[turn > 3])
    for one, other in zip(plain.layers, aged.layers, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.bias, other.bias)
        assert len(other.born) == len(other.values) and len(other.bias_born) == len(other.bias)
        assert len(one.born) == len(one.bias_born) == 0


@pytest.mark.parametrize(("ages", "first_step"), [(True, 1.0), (False, None)])
def test_the_first_step_of_a_grown_connection(pool: Pool, ages: bool, first_step: float | None) -> None:
    one = network(1)
    if ages:
        one.count_ages()
    ensemble, rng = Ensemble([one], pool), np.random.default_rng(2)
    for _ in range(40):
        step(ensemble, rng)
    grown = np.setdiff1d(np.arange(3500), one.layers[0].places())[:50]
    one.rewire(one.layers[0].name, np.arange(50), grown)
    step(ensemble, rng, learning_rate=1e-3)
    new = np.isin(one.layers[0].places(), grown)
    moved = ensemble.gradient(0, "hidden1.values")[new] != 0
    lengths = np.abs(one.layers[0].values[new][moved]) / 1e-3
    # m = 0.1 g and v = 0.001 g^2, each divided by its correction: at age 1 their own factors, so the step is the
    # learning rate; by the steps of the network those of step 41.
    expected = first_step or 0.1 / (1 - 0.9**41) / np.sqrt(0.001 / (1 - 0.999**41))
    np.testing.assert_allclose(lengths, expected, rtol=1e-4)
    assert moved.sum() > 20


def test_ages_are_saved_and_continued_to_the_bit(pool: Pool) -> None:
    one = network(1)
    one.count_ages()
    ensemble, rng = Ensemble([one], pool), np.random.default_rng(2)
    for _ in range(3):
        step(ensemble, rng)
    one.rewire(one.layers[0].name, np.arange(5), np.setdiff1d(np.arange(3500), one.layers[0].places())[:5])
    assert sorted(np.unique(one.layers[0].born)) == [0, 3]
    one.layers[1].bias_born[1] = 2
    two = Network.from_state(*one.state())
    assert two.layers[1].bias_born.tolist() == [0, 2, 0]
    for each in (one, two):
        step(Ensemble([each], pool), np.random.default_rng(4))
    for first, second in zip(one.layers, two.layers, strict=True):
        np.testing.assert_array_equal(first.values, second.values)
        np.testing.assert_array_equal(first.bias, second.bias)


def test_a_network_without_anything_to_learn_remembers_that_ages_count() -> None:
    one = Network(3, [ReLU()], {}, {})
    one.count_ages()
    assert Network.from_state(*one.state()).state()[1] == one.state()[1]


def test_what_earlier_versions_saved_is_as_old_as_its_network(pool: Pool) -> None:
    one = dense_network()
    step(Ensemble([one], pool), np.random.default_rng(4))
    arrays, values = one.state()
    without = {name: array for name, array in arrays.items() if not name.endswith("born")}
    assert len(without) == len(arrays) - 4
    older = Network.from_state(without, values)
    assert all((layer.born == 0).all() and len(layer.born) == len(layer.values) for layer in older.layers)
    with pytest.raises(ValueError, match=r"output\.bias_born of a network has connections from after its last step"):
        Network.from_state({**arrays, "output.bias_born": np.full(3, 2, np.uint32)}, values)


def dense_network(ages: bool = True) -> Network:
    made = initialised(SIZES[0], mlp(SIZES), {}, np.random.default_rng(1))
    if ages:
        made.count_ages()
    return made


def test_what_grows_as_a_dense_layer_becomes_sparse_is_young(pool: Pool) -> None:
    one = dense_network()
    ensemble, rng = Ensemble([one], pool), np.random.default_rng(2)
    for _ in range(7):
        step(ensemble, rng)
    one.rewire("hidden1", np.arange(100), np.arange(10, 20))
    layer = one.layers[0]
    grown = np.isin(layer.places(), np.arange(10, 20))
    assert grown.sum() == 10 and (layer.born == np.where(grown, 7, 0)).all()


def test_a_dense_network_is_saved_with_whether_its_ages_count(pool: Pool) -> None:
    one = dense_network()
    arrays, values = one.state()
    no_ages = {name: array for name, array in arrays.items() if not name.endswith("born")}
    two, older = Network.from_state(arrays, values), Network.from_state(no_ages, {**values, "ages": False})
    assert "ages" not in older.state()[1] and "ages" not in one.state(training=False)[1]
    for each in (one, two, older):
        step(Ensemble([each], pool), np.random.default_rng(4))
        each.rewire("hidden1", np.arange(100), np.arange(0))
        step(Ensemble([each], pool), np.random.default_rng(5))
    assert len(two.layers[0].born) == len(one.layers[0].born) > len(older.layers[0].born) == 0
    np.testing.assert_array_equal(one.layers[0].values, two.layers[0].values)
    with pytest.raises(ValueError, match="the ages of a network must be a truth value, got 3"):
        Network.from_state(arrays, {**values, "ages": 3})
