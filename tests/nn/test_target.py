"""The soft update and MaintainSparsity of the core, against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
from cases import UNIT, random_network
from test_adam_and_rewiring import random_event

from rewirl import _core
from rewirl.nn import Ensemble, Pool, TargetNetwork, mlp_network, pack, reference, update_targets


def dense(layer):
    return reference.matrix(layer.shape, layer.places(), layer.values)


def network_of_shares(rng, shapes_densities=((60, 0.5), (130, 0.1), (20, None), (2, 1.0))):
    sizes = [17] + [n for n, _ in shapes_densities]
    return random_network(sizes, [density for _, density in shapes_densities], rng)


def learn(network, rng):
    """Move the weights a little, as an optimiser would."""
    for layer in network.layers:
        layer.set_values(layer.values + rng.normal(scale=0.05, size=layer.connections).astype(np.float32))
        layer.bias[:] += rng.normal(scale=0.05, size=len(layer.bias)).astype(np.float32)


def rewire(network, share, rng):
    for index, layer in enumerate(network.layers):
        if not layer.dense:
            network.rewire(network.layers[index].name, *random_event(layer, share, rng))


def test_two_hundred_updates_with_rewirings(instruction_set, pool):
    rng = np.random.default_rng(0)
    tau = float(np.float32(0.02))
    online = network_of_shares(rng)
    target = TargetNetwork(online)
    expected = [dense(layer) for layer in online.layers]
    biases = [layer.bias.astype(np.float64) for layer in online.layers]
    differed = 0
    for update in range(1, 201):
        if update % 20 == 0:
            rewire(online, 0.2, rng)
        learn(online, rng)
        update_targets([target], 0.02, pool)
        for index, (layer, own) in enumerate(zip(online.layers, target.layers, strict=True)):
            k = layer.connections
            assert own.connections <= k
            before = tau * dense(layer) + (1 - tau) * expected[index]
            expected[index] = reference.maintain_sparsity(before, k)
            biases[index] = tau * layer.bias + (1 - tau) * biases[index]
            found = dense(own)
            # Each update errs by two units, of which 1 / tau updates count, in both terms.
            bound = 2 * 2 * UNIT / tau * np.maximum(np.abs(before), 0.1 * np.abs(before).max())
            if not np.array_equal(found != 0, expected[index] != 0):
                # The cut may fall otherwise between magnitudes that float32 cannot tell apart; then follow the core.
                swapped = (found != 0) != (expected[index] != 0)
                cut = np.sort(np.abs(before), axis=None)[-k]
                assert (np.abs(np.abs(before[swapped]) - cut) <= 2 * bound[swapped]).all()
                assert np.count_nonzero(found) == np.count_nonzero(expected[index])
                differed += 1
                expected[index] = np.where(found != 0, before, 0.0)
            assert (np.abs(found - expected[index]) <= bound).all()
            assert own.bias == pytest.approx(biases[index], rel=1e-5, abs=1e-5)
    assert differed <= 10


def test_a_stale_connection_decays_until_a_grown_one_outweighs_it(instruction_set, pool):
    """Three connections; place 0 is dropped, place 5 grown and set to 1; tau is 1/4. Powers of two, so all is exact."""
    online = mlp_network([6, 1], [np.array([0, 2, 4])], [np.float32([1, 8, -8])], [np.float32([0])])
    target = TargetNetwork(online)
    online.rewire(online.layers[0].name, np.array([0]), np.array([5]))
    history = []
    for update in range(6):
        if update == 1:
            values = online.layers[0].values.copy()
            values[2] = 1.0
            online.layers[0].set_values(values)
        assert online.layers[0].places().tolist() == [2, 4, 5]
        update_targets([target], 0.25, pool)
        history.append(dense(target.layers[0])[0].tolist())
    grown = [0, 0, 0.25, 0.4375, 0.578125, 0.68359375]
    assert history[0] == [0.75, 0, 8, 0, -8, 0]
    assert history[1] == [0.5625, 0, 8, 0, -8, 0]  # 0.25 of the grown one is cut, and so are its next beginnings
    assert history[2] == [0.421875, 0, 8, 0, -8, 0]
    assert history[3] == [0.31640625, 0, 8, 0, -8, 0]
    assert history[4] == [0, 0, 8, 0, -8, 0.25]  # the stale one would be 0.2373
    assert history[5] == [0, 0, 8, 0, -8, grown[3]]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_with_tau_one_the_target_is_a_copy(instruction_set, pool, share):
    rng = np.random.default_rng(0)
    online = network_of_shares(rng)
    target = TargetNetwork(online)
    for _ in range(3):
        rewire(online, share, rng)
        learn(online, rng)
        update_targets([target], 0.3, pool)  # leaves stale connections
        update_targets([target], 1.0, pool)
        for own, layer in zip(target.layers, online.layers, strict=True):
            assert np.array_equal(dense(own), dense(layer))
            assert np.array_equal(own.bias, layer.bias)
            assert own.connections == np.count_nonzero(layer.values)


def test_stale_connections_shrink_by_one_minus_tau(pool):
    rng = np.random.default_rng(1)
    online = random_network([50, 40], [0.3], rng)
    target = TargetNetwork(online)
    before = dense(target.layers[0])
    rewire(online, 0.3, rng)
    stale = (before != 0) & ~reference.mask((40, 50), online.layers[0].places())
    assert stale.sum() > 100
    for _ in range(3):
        update_targets([target], 0.01, pool)
    assert dense(target.layers[0])[stale] == pytest.approx(before[stale] * 0.99**3, rel=1e-6)


@pytest.mark.parametrize("density", [0.02, 0.5])
def test_equal_magnitudes_are_cut_to_the_number_of_connections(instruction_set, pool, density):
    """All weights are of one magnitude, so that only position decides."""
    rng = np.random.default_rng(2)
    online = random_network([40, 30], [density], rng)
    (layer,) = online.layers
    layer.set_values(rng.choice([-1.0, 1.0], layer.connections).astype(np.float32))
    target = TargetNetwork(online)
    for _ in range(4):
        rewire(online, 0.5, rng)
        layer.set_values(rng.choice([-1.0, 1.0], layer.connections).astype(np.float32))
        update_targets([target], 0.5, pool)
        assert target.layers[0].connections == layer.connections


def test_of_equal_magnitudes_those_that_are_connected_stay(instruction_set, pool):
    """Places of the online network come first; a stale connection has no more of a right to its place."""
    online = mlp_network([6, 1], [np.array([0, 2, 4])], [np.float32([1, 1, -1])], [np.float32([0])])
    target = TargetNetwork(online)
    online.rewire("output", np.array([0]), np.array([5]))
    online.layers[0].set_values(np.float32([1, -1, 1]))
    update_targets([target], 0.5, pool)
    assert dense(target.layers[0]).tolist() == [[0, 0, 1, 0, -1, 0.5]]


def test_the_target_of_a_layer_without_connections_has_none(instruction_set, pool):
    online = random_network([20, 9], [0.5], np.random.default_rng(2))
    target = TargetNetwork(online)
    online.rewire("output", np.arange(online.connections), np.empty(0, np.int64))
    update_targets([target], 0.5, pool)
    assert not target.layers[0].weights().any()


def test_the_target_computes_with_its_own_topology(instruction_set, pool):
    rng = np.random.default_rng(3)
    online = network_of_shares(rng)
    target = TargetNetwork(online)
    rows = rng.normal(size=(50, 17)).astype(np.float32)
    for _ in range(3):
        rewire(online, 0.3, rng)
        learn(online, rng)
        update_targets([target], 0.1, pool)
        matrices = [dense(layer) for layer in target.layers]
        biases = [layer.bias.astype(np.float64) for layer in target.layers]
        expected = reference.forward(matrices, biases, rows.astype(np.float64))[-1]
        (output,) = Ensemble([target], pool).forward(pack(rows))
        assert pytest.approx(expected, rel=1e-4, abs=1e-4) == output[0, :, :50].T
        assert target.act(rows[7]) == pytest.approx(expected[7], rel=1e-4, abs=1e-4)


def test_an_update_leaves_the_online_network_alone(pool):
    rng = np.random.default_rng(4)
    online = network_of_shares(rng)
    target = TargetNetwork(online)
    for _ in range(3):
        rewire(online, 0.3, rng)
        before = {name: array.tobytes() for name, array in online.state()[0].items()}
        update_targets([target], 0.3, pool)
        assert {name: array.tobytes() for name, array in online.state()[0].items()} == before


def test_targets_in_two_threads_are_those_of_one():
    results = []
    for threads in (1, 2):
        rng = np.random.default_rng(5)
        pool = Pool(threads)
        networks = [network_of_shares(rng) for _ in range(3)]
        targets = [TargetNetwork(network) for network in networks]
        for _ in range(20):
            for network in networks:
                rewire(network, 0.1, rng)
                learn(network, rng)
            update_targets(targets, 0.1, pool)
        pool.close()
        results.append([array.tobytes() for target in targets for array in target.state()[0].values()])
    assert results[0] == results[1]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_do_not_hang_the_cut(instruction_set, pool, broken):
    rng = np.random.default_rng(6)
    online = random_network([40, 30], [0.4], rng)
    target = TargetNetwork(online)
    values = online.layers[0].values.copy()
    values[3] = broken
    online.layers[0].set_values(values)
    rewire(online, 0.2, rng)
    for _ in range(3):
        update_targets([target], 0.5, pool)
        assert target.layers[0].places().shape == target.layers[0].values.shape


def test_a_target_of_another_shape_is_refused():
    rng = np.random.default_rng(7)
    online, other = random_network([5, 4, 3], [0.5, None], rng), random_network([5, 6, 3], [0.5, None], rng)
    dense_first = random_network([5, 4, 3], [None, None], rng)
    for network in (other, dense_first):
        arrays, values = network.state()
        with pytest.raises(ValueError, match=r"sizes|differ"):
            TargetNetwork.restored(online, arrays, values)
    places, values = [online.layers[0].places()[1:], None], [online.layers[0].values[1:], online.layers[1].values]
    lacking = mlp_network([5, 4, 3], places, values, [layer.bias for layer in online.layers], False)
    with pytest.raises(ValueError, match="the target lacks connections of its online network"):
        _core.TargetUpdate(lacking.core, online.core)


@pytest.mark.parametrize("stale", ["no", [True], [1, 0], {}])
def test_an_impossible_list_of_stale_layers_is_refused(stale):
    online = random_network([5, 4, 3], [0.5, None], np.random.default_rng(7))
    arrays, values = TargetNetwork(online).state()
    with pytest.raises(ValueError, match="stale must be a list of one truth value per layer, got "):
        TargetNetwork.restored(online, arrays, {**values, "stale": stale})


def test_places_that_came_to_nothing_are_removed_where_they_are_many(instruction_set, pool):
    """After pruning a target ends with the topology, and the memory, of its online network."""
    rng = np.random.default_rng(1)
    online = network_of_shares(rng, ((60, 0.5), (50, None), (2, None)))
    target = TargetNetwork(online)
    for index, kept in ((0, 0.6), (1, 0.3)):
        layer = online.layers[index]
        dropped = rng.permutation(layer.connections)[: int((1 - kept) * layer.connections)]  # large ones too
        online.rewire(online.layers[index].name, dropped.astype(np.int64), np.array([], dtype=np.int64))
    stored = []
    for _ in range(400):
        update_targets([target], 0.05, pool)
        stored.append([len(layer.values) for layer in target.layers])
        for layer, followed in zip(target.layers, online.layers, strict=True):
            assert layer.connections <= followed.connections
    connections = [layer.connections for layer in online.layers]
    assert stored[0] != connections and stored[-1] == connections
    for layer, followed in zip(target.layers, online.layers, strict=True):
        assert np.array_equal(np.sort(layer.places()), np.sort(followed.places()))
        assert layer.weights() == pytest.approx(followed.weights(), abs=1e-5)
    # A target restored on the way there goes on to the bit.
    again = TargetNetwork.restored(online, *target.state())
    update_targets([again], 0.05, pool)
    update_targets([target], 0.05, pool)
    assert all(np.array_equal(a, b) for a, b in zip(*(t.state()[0].values() for t in (again, target)), strict=True))


@pytest.mark.parametrize("tau", [np.nan, 2.0, -1.0, np.inf])
def test_a_soft_update_goes_no_further_than_the_online_network(pool, tau):
    network = random_network([6, 2], [0.5], np.random.default_rng(0))
    with pytest.raises(ValueError, match="tau must be from 0 to 1"):
        update_targets([TargetNetwork(network)], tau, pool)
