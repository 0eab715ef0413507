"""Layers whose connections come and go in blocks: several outputs that share an input."""

from __future__ import annotations

import numpy as np
import pytest
from cases import (
    BATCHES,
    SIZES,
    assert_within,
    backward_bounds,
    forward_bounds,
    gradients,
    matrices,
    random_network,
    slice_of_wider,
    tiles_with_rubbish,
)

from rewirl.nn import Ensemble, Network, Pool, TargetNetwork, pack, reference, unpack, update_targets

DENSITIES = [1.0, 0.6, 0.25, 0.1, 0.02, 0.0]


def random_case(seed):
    """A random network in blocks and a batch size."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 4))
    sizes = [int(n) for n in rng.choice(SIZES, depth + 1)]
    densities = [DENSITIES[i] for i in rng.integers(len(DENSITIES), size=depth)]
    heights = [int(h) for h in rng.choice([4, 8, 2, 3, 5, 6, 7], depth, p=[0.35, 0.35, 0.06, 0.06, 0.06, 0.06, 0.06])]
    batch = int(rng.choice([*BATCHES, 512]))
    return random_network(sizes, densities, rng, heights=heights), batch, rng


def by_place(layer):
    """Weight, moments and birth of every connection."""
    arrays = [layer.values, *layer.moments, *([layer.born] if len(layer.born) else [])]
    return {int(p): tuple(float(a[k]) for a in arrays) for k, p in enumerate(layer.places())}


def blocks_of(layer):
    """Which (group of outputs, input) there are, as one number each."""
    places = layer.places()
    n_in = layer.shape[1]
    return np.unique(places // n_in // layer.height * n_in + places % n_in)


def places_of(layer, blocks):
    """The places of blocks."""
    n_in = layer.shape[1]
    rows = (blocks // n_in * layer.height)[:, np.newaxis] + np.arange(layer.height)
    places = rows * n_in + (blocks % n_in)[:, np.newaxis]
    return places[rows < layer.shape[0]].astype(np.int64)


def random_event(layer, share, rng):
    """Positions of a share of the blocks, and the places of as many others."""
    n_in = layer.shape[1]
    blocks = blocks_of(layer)
    gone = rng.permutation(blocks)[: int(share * len(blocks))]
    free = np.setdiff1d(np.arange(-(-layer.shape[0] // layer.height) * n_in), blocks)
    grown = rng.permutation(free)[: len(gone)]
    dropped = np.flatnonzero(np.isin(layer.places(), places_of(layer, gone)))
    return dropped.astype(np.int64), places_of(layer, grown)


@pytest.mark.parametrize("seed", range(24))
def test_all_products_are_those_of_the_reference(instruction_set, pool, seed):
    network, batch, rng = random_case(seed)
    rows = rng.normal(size=(batch, network.sizes[0])).astype(np.float32)
    gradient = rng.normal(size=(batch, network.sizes[-1])).astype(np.float32)
    inputs_from = int(rng.integers(network.sizes[0]))
    tiles = slice_of_wider(tiles_with_rubbish(rows, rng), rng)
    ensemble = Ensemble([network], pool)
    ensemble.forward(tiles)
    weights, masks, biases = matrices(network)
    expected = reference.forward(weights, biases, rows.astype(np.float64))
    values = [ensemble.value(0, layer.name) for layer in network.layers]
    found = [rows.astype(np.float64)] + [unpack(value, batch).astype(np.float64) for value in values]
    for own, goal, bound in zip(found, expected, forward_bounds(weights, biases, expected), strict=True):
        assert_within(own, goal, bound)

    (of_inputs,) = ensemble.backward(tiles, [pack(gradient)], inputs_from=inputs_from)
    goals = reference.backward(weights, masks, found, gradient.astype(np.float64))
    bounds = backward_bounds(weights, found, gradient)
    for index, (layer, (connections, of_biases)) in enumerate(zip(network.layers, gradients(ensemble), strict=True)):
        places = layer.places()
        assert layer.format == "blocks"
        assert_within(connections, goals[0][index].reshape(-1)[places], bounds[0][index].reshape(-1)[places])
        assert_within(of_biases, goals[1][index], bounds[1][index])
    assert_within(unpack(of_inputs, batch), goals[2][:, inputs_from:], bounds[2][:, inputs_from:])

    one = reference.forward(weights, biases, rows[:1].astype(np.float64))
    assert_within(network.act(rows[0])[np.newaxis], one[-1], forward_bounds(weights, biases, one)[-1])


@pytest.mark.parametrize("batch", [1, 100, 256, 512])
def test_gradients_are_those_of_torch(instruction_set, pool, batch):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(batch)
    network = random_network([23, 66, 61, 3], [0.5, 0.1, 0.7], rng, heights=[4, 8, 2])
    rows, pull = (rng.normal(size=(batch, n)).astype(np.float32) for n in (23, 3))
    x = torch.tensor(rows, requires_grad=True)
    weights = [torch.tensor(layer.weights(), requires_grad=True) for layer in network.layers]
    y = x
    for index, (layer, w) in enumerate(zip(network.layers, weights, strict=True)):
        y = torch.nn.functional.linear(y, w, torch.tensor(layer.bias.copy()))
        y = torch.relu(y) if index < 2 else y
    (y * torch.tensor(pull)).sum().backward()
    ensemble = Ensemble([network], pool)
    (output,) = ensemble.forward(pack(rows))
    (of_inputs,) = ensemble.backward(pack(rows), [pack(pull)], inputs_from=0)
    assert unpack(output, batch) == pytest.approx(y.detach().numpy(), rel=1e-3, abs=1e-3)
    assert unpack(of_inputs, batch) == pytest.approx(x.grad.numpy(), rel=1e-3, abs=1e-2)
    for layer, w, (connections, _) in zip(network.layers, weights, gradients(ensemble), strict=True):
        scale = float(np.abs(w.grad.numpy()).max())
        goal = w.grad.numpy().reshape(-1)[layer.places()]
        assert connections == pytest.approx(goal, rel=1e-3, abs=1e-4 * scale)


@pytest.mark.parametrize("batch", [100, 256, 300])
def test_threads_change_no_bit(instruction_set, batch):
    results = []
    for threads in (1, 2, 3):
        rng = np.random.default_rng(1)
        network = random_network([17, 250, 251, 3], [0.6, 0.3, None], rng, heights=[4, 8, 8])
        workers = Pool(threads)
        ensemble = Ensemble([network], workers)
        rows, pull = (rng.normal(size=(batch, n)).astype(np.float32) for n in (17, 3))
        found = []
        for _ in range(3):
            found += ensemble.forward(pack(rows))
            found += ensemble.backward(pack(rows), [pack(pull)], inputs_from=0)
            ensemble.adam(1e-3)
            ensemble.forward(pack(rows))
            ensemble.step(pack(rows), [pack(pull)], 1e-3, 1e-4)
        results.append([a.tobytes() for a in found] + [a.tobytes() for a in network.state()[0].values()])
        workers.close()
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("by_age", [False, True])
@pytest.mark.parametrize("height", [4, 8, 3])
def test_rewiring_moves_whole_blocks_and_keeps_what_survivors_have_learnt(instruction_set, pool, height, by_age):
    rng = np.random.default_rng(height)
    network = random_network([40, 60, 2], [0.3, None], rng, heights=[height, 1])
    if by_age:
        network.count_ages()
    ensemble = Ensemble([network], pool)
    x, pull = pack(rng.normal(size=(70, 40)).astype(np.float32)), pack(rng.normal(size=(70, 2)).astype(np.float32))
    for _ in range(4):
        for _ in range(2):
            ensemble.forward(x)
            ensemble.step(x, [pull], 1e-3, 1e-4)
        (layer, _) = network.layers
        before = by_place(layer)
        dropped, grown = random_event(layer, 0.3, rng)
        gone = set(layer.places()[dropped].tolist())
        network.rewire(layer.name, dropped, grown)
        after = by_place(layer)
        assert {p: v for p, v in before.items() if p not in gone} == {p: after[p] for p in before if p not in gone}
        assert set(after) == (set(before) - gone) | set(grown.tolist())
        for place in grown.tolist():
            assert after[place] == ((0.0, 0.0, 0.0, network.steps) if by_age else (0.0, 0.0, 0.0))
        assert len(blocks_of(layer)) == len(np.unique(blocks_of(layer)))
        assert len(places_of(layer, blocks_of(layer))) == layer.connections
        if layer.shape[0] % height == 0:
            assert layer.connections == len(before)


@pytest.mark.parametrize("what", ["drop", "grow", "twice", "both"])
def test_a_part_of_a_block_is_refused_and_nothing_changes(pool, what):
    network = random_network([9, 11], [0.5], np.random.default_rng(0), heights=[4])
    (layer,) = network.layers
    before = {name: array.tobytes() for name, array in network.state()[0].items()}
    version = network.core.version(layer.name)
    dropped, grown = random_event(layer, 0.3, np.random.default_rng(1))
    none = np.array([], dtype=np.int64)
    event = {
        "drop": (dropped[:-1], none),
        "grow": (none, grown[1:]),
        "twice": (none, layer.places()[:4]),
        "both": (dropped, np.append(grown, grown[0])),
    }[what]
    with pytest.raises(ValueError, match=r"whole blocks of 4 outputs|whole blocks of 3 outputs|is given twice"):
        network.rewire(layer.name, *event)
    assert {name: array.tobytes() for name, array in network.state()[0].items()} == before
    assert network.core.version(layer.name) == version


@pytest.mark.parametrize("height", [0, -1, 9, 2**30])
def test_impossible_heights_are_refused(height):
    with pytest.raises(ValueError, match=r"height|high"):
        random_network([4, 5], [None], np.random.default_rng(0), heights=[height])


def test_places_that_are_no_blocks_are_refused():
    rng = np.random.default_rng(0)
    arrays, values = random_network([6, 8], [0.5], rng, heights=[4]).state()
    arrays |= {name: array[1:] for name, array in arrays.items() if array.shape == arrays["output.values"].shape}
    with pytest.raises(ValueError, match="whole blocks of 4 outputs"):
        Network.from_state(arrays, values)


def test_a_state_has_the_order_of_places_and_continues_to_the_bit(instruction_set, pool):
    rng = np.random.default_rng(3)
    network = random_network([40, 50, 21, 2], [0.3, 0.5, None], rng, heights=[8, 4, 8])
    network.count_ages()
    x, pull = pack(rng.normal(size=(70, 40)).astype(np.float32)), pack(rng.normal(size=(70, 2)).astype(np.float32))

    def learn(own):
        ensemble = Ensemble([own], pool)
        for _ in range(2):
            ensemble.forward(x)
            ensemble.step(x, [pull], 1e-3, 1e-4)

    learn(network)
    for layer in network.layers[:2]:
        network.rewire(layer.name, *random_event(layer, 0.2, rng))
    learn(network)
    arrays, values = network.state()
    assert all((np.diff(arrays[f"hidden{i}.places"]) > 0).all() for i in (1, 2))
    again = Network.from_state(arrays, values)
    assert again.operations == network.operations
    for own in (network, again):
        learn(own)
    assert {n: a.tobytes() for n, a in network.state()[0].items()} == {
        n: a.tobytes() for n, a in again.state()[0].items()
    }
    still = Network.from_state(*network.state(training=False), trainable=False)  # a policy: in the order of the file
    assert np.array_equal(still.predict(x), network.predict(x))
    assert np.array_equal(still.act(x[0, :, 0].copy()), network.act(x[0, :, 0].copy()))


def test_a_dense_layer_loses_blocks_and_goes_on_in_blocks(instruction_set, pool):
    rng = np.random.default_rng(4)
    network = random_network([23, 42, 3], [None, None], rng, heights=[4, 1])
    target = TargetNetwork(network)
    ensemble = Ensemble([network], pool)
    x, pull = pack(rng.normal(size=(60, 23)).astype(np.float32)), pack(rng.normal(size=(60, 3)).astype(np.float32))
    for _ in range(3):
        ensemble.forward(x)
        ensemble.step(x, [pull], 1e-3, 1e-4)
    layer = network.layers[0]
    assert layer.dense and layer.height == 4
    before = by_place(layer)
    gone = rng.permutation(11 * 23)[:150]
    dropped = np.flatnonzero(np.isin(layer.places(), places_of(layer, gone))).astype(np.int64)
    with pytest.raises(ValueError, match="whole blocks"):
        network.rewire(layer.name, dropped[1:], np.array([], dtype=np.int64))
    network.rewire(layer.name, dropped, np.array([], dtype=np.int64))
    assert layer.format == "blocks"
    assert by_place(layer) == {p: v for p, v in before.items() if p not in set(places_of(layer, gone).tolist())}
    for _ in range(3):
        update_targets([target], 0.5, pool)
        assert target.layers[0].connections <= layer.connections


@pytest.mark.parametrize("height", [4, 8, 7])
def test_a_target_follows_and_is_cut_by_whole_blocks(instruction_set, pool, height):
    rng = np.random.default_rng(height)
    online = random_network([30, 45, 3], [0.3, None], rng, heights=[height, 1])
    target = TargetNetwork(online)
    layer, own = online.layers[0], target.layers[0]
    stale = 0
    for update in range(30):
        if update % 6 == 3:
            online.rewire(layer.name, *random_event(layer, 0.2, rng))
        layer.set_values(layer.values + rng.normal(scale=0.1, size=layer.connections).astype(np.float32))
        before = own.weights().astype(np.float64)
        update_targets([target], 0.25, pool)
        found = own.weights()
        goal = reference.update_target(before, layer.weights().astype(np.float64), 0.25, layer.connections, height)
        assert found == pytest.approx(goal, rel=1e-5, abs=1e-6)
        assert own.connections <= layer.connections
        stale = max(stale, len(own.values) - layer.connections)
        if update == 15:  # a target from a file goes on to the bit
            target = TargetNetwork.restored(online, *target.state())
            own = target.layers[0]
        rows = rng.normal(size=(40, 30)).astype(np.float32)
        weights, _, biases = matrices(target)
        expected = reference.forward(weights, biases, rows.astype(np.float64))[-1]
        assert unpack(target.predict(pack(rows)), 40) == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert target.act(rows[3]) == pytest.approx(expected[3], rel=1e-4, abs=1e-4)
    assert stale > 0


@pytest.mark.parametrize("zero", [0, 3])
def test_a_stale_block_is_whole_though_one_of_its_weights_is_zero(instruction_set, pool, zero):
    online = random_network([10, 12], [0.4], np.random.default_rng(5), heights=[4])
    (layer,) = online.layers
    weights = layer.weights().reshape(3, 4, 10)
    weights[:, zero] = 0
    layer.set_values(weights.reshape(-1)[layer.places()])
    target = TargetNetwork(online)
    before = target.layers[0].weights().astype(np.float64)
    online.rewire(layer.name, *random_event(layer, 0.4, np.random.default_rng(6)))
    update_targets([target], 0.25, pool)
    goal = reference.update_target(before, layer.weights().astype(np.float64), 0.25, layer.connections, 4)
    assert target.layers[0].weights() == pytest.approx(goal, rel=1e-6)
    assert (goal[layer.weights() == 0] != 0).any()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_numbers_that_are_not_finite_do_not_hang_the_cut_of_blocks(instruction_set, pool, broken):
    rng = np.random.default_rng(6)
    online = random_network([40, 30], [0.4], rng, heights=[4])
    target = TargetNetwork(online)
    values = online.layers[0].values.copy()
    values[3] = broken
    online.layers[0].set_values(values)
    online.rewire(online.layers[0].name, *random_event(online.layers[0], 0.2, rng))
    for _ in range(3):
        update_targets([target], 0.5, pool)


def test_more_inputs_than_sixteen_bits_number(instruction_set, pool):
    rng = np.random.default_rng(7)
    network = random_network([70_000, 12], [0.0], rng, heights=[8])
    layer = network.layers[0]
    blocks = rng.choice(2 * 70_000, 500, replace=False)
    network.rewire(layer.name, np.array([], dtype=np.int64), places_of(layer, blocks))
    layer.set_values(rng.normal(size=layer.connections).astype(np.float32))
    rows = rng.normal(size=(5, 70_000)).astype(np.float32)
    goal = rows.astype(np.float64) @ layer.weights().astype(np.float64).T + layer.bias
    assert unpack(network.predict(pack(rows)), 5) == pytest.approx(goal, rel=1e-4, abs=1e-4)
    assert network.act(rows[2]) == pytest.approx(goal[2], rel=1e-4, abs=1e-4)
