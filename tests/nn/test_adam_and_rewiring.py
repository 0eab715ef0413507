from __future__ import annotations

import numpy as np
import pytest
from cases import UNIT, gradients, random_network, random_places
from test_arguments import zeros

from rewirl.nn import Ensemble, Pool, mlp_network, pack, reference

SETTINGS = tuple(float(np.float32(x)) for x in (0.9, 0.999, 1e-8))  # beta1, beta2 and epsilon as the core has them


def bits(network, layer):
    """By place: the bits of the weight and of both moments."""
    view = network.layers[layer]
    columns = np.stack([view.values, *view.moments], axis=1).view(np.uint32)
    return dict(zip(view.places().tolist(), map(tuple, columns.tolist()), strict=True))


def everything(network):
    return {name: array.tobytes() for name, array in network.state()[0].items()}


def random_event(layer, share, rng):
    """Indices of connections to drop, and as many places to grow."""
    count = min(int(share * layer.connections), layer.shape[0] * layer.shape[1] - layer.connections)
    dropped = rng.permutation(layer.connections)[:count].astype(np.int64)
    free = np.setdiff1d(np.arange(layer.shape[0] * layer.shape[1]), layer.places())
    return dropped, rng.permutation(free)[:count].astype(np.int64)


class Follower:
    """Weights and moments of a layer in float64, as dense arrays, following what is done to the layer."""

    def __init__(self, layer, weight_decay, by_age):
        self.layer, self.weight_decay, self.by_age = layer, weight_decay, by_age
        self.exists = reference.mask(layer.shape, layer.places())
        self.w = reference.matrix(layer.shape, layer.places(), layer.values)
        self.m, self.v = np.zeros_like(self.w), np.zeros_like(self.w)
        self.ages = np.zeros(layer.shape, dtype=np.int64)
        self.steps = 0
        self.moved = np.zeros_like(self.w)

    def adam(self, gradient, learning_rate):
        self.steps += 1
        self.ages += 1
        step = self.ages if self.by_age else self.steps
        before = self.w
        w, m, v = reference.adam(self.w, gradient, self.m, self.v, step, learning_rate, *SETTINGS, self.weight_decay)
        self.w, self.m, self.v = w * self.exists, m * self.exists, v * self.exists
        self.moved += np.abs(self.w - before)

    def rewire(self, dropped, grown):
        places = self.layer.places()[dropped]
        (self.w, self.m, self.v, self.moved), self.exists = reference.rewire(
            [self.w, self.m, self.v, self.moved], self.exists, places, grown
        )
        self.ages.reshape(-1)[grown] = 0

    def check(self):
        places = self.layer.places()
        assert np.array_equal(np.sort(places), np.flatnonzero(self.exists))
        m, v = self.layer.moments
        # A moment is a sum that forgets: each step errs by a few units, and 1 / (1 - 0.9) or at most 20 of them count.
        magnitude = np.abs(self.m).max() + 1
        assert np.abs(m - self.m.reshape(-1)[places]).max(initial=0) < 10 * 4 * UNIT * magnitude
        assert np.abs(v - self.v.reshape(-1)[places]).max(initial=0) <= 20 * 4 * UNIT * np.abs(self.v).max()
        # A step of Adam errs by as many units of its length as m and v do, and adding it by one of the weight.
        bound = self.steps * UNIT * np.abs(self.w) + 100 * UNIT * (self.moved + 0.01)
        assert (np.abs(self.layer.values - self.w.reshape(-1)[places]) <= bound.reshape(-1)[places]).all()


@pytest.mark.parametrize("by_age", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.02])
@pytest.mark.parametrize(
    ("shape", "density"),
    [((200, 150), 0.5), ((7, 5), 0.4), ((33, 300), 0.03), ((1, 3), 0.7), ((19, 21), 1.0), ((31, 9), None)],
)
def test_twenty_steps_with_rewirings_in_between(instruction_set, pool, shape, density, weight_decay, by_age):
    rng = np.random.default_rng(3)
    network = random_network([shape[1], shape[0]], [density], rng)
    if by_age:
        network.count_ages()
    (layer,) = network.layers
    follower = Follower(layer, float(np.float32(weight_decay)), by_age and density is not None)
    bias, bias_m, bias_v = layer.bias.astype(np.float64), np.zeros(shape[0]), np.zeros(shape[0])
    ensemble = Ensemble([network], pool)
    for step in range(1, 21):
        gradient, bias_gradient = (rng.normal(size=size).astype(np.float32) for size in (shape, shape[0]))
        of_connections, of_biases = gradients(ensemble)[0]
        of_connections[:] = gradient.reshape(-1)[layer.places()]
        of_biases[:] = bias_gradient
        ensemble.adam(0.01, weight_decay)
        follower.adam(gradient.astype(np.float64), float(np.float32(0.01)))
        bias, bias_m, bias_v = reference.adam(
            bias, bias_gradient.astype(np.float64), bias_m, bias_v, step, 0.01, *SETTINGS, weight_decay
        )
        if step % 5 == 0 and density is not None:
            dropped, grown = random_event(layer, 0.3, rng)
            follower.rewire(dropped, grown)
            before = bits(network, 0)
            lost = layer.places()[dropped].tolist()
            network.rewire(network.layers[0].name, dropped, grown)
            after = bits(network, 0)
            assert set(after) == (set(before) - set(lost)) | set(grown.tolist())
            assert all(after[place] == before.get(place, (0, 0, 0)) for place in after)
        follower.check()
    assert network.steps == 20
    assert layer.bias == pytest.approx(bias, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("count", range(1, 36))
def test_adam_treats_every_connection_alike_wherever_it_is_stored(instruction_set, pool, count):
    network = random_network([count, 1], [1.0], np.random.default_rng(0))
    (layer,) = network.layers
    layer.set_values(np.full(layer.connections, 0.5, dtype=np.float32))
    ensemble = Ensemble([network], pool)
    gradients(ensemble)[0][0][:] = 0.25
    for _ in range(3):
        ensemble.adam(1e-3, 1e-2)
    for array in (layer.values, *layer.moments):
        assert len(set(array.tolist())) == 1
    assert layer.values[0] == pytest.approx(0.497, abs=1e-6)  # three steps of 0.001 down a constant slope


def test_adam_leaves_weights_alone_that_have_never_had_a_gradient(instruction_set, pool):
    network = random_network([50, 7], [0.5], np.random.default_rng(0))
    before = everything(network)
    ensemble = Ensemble([network], pool)
    gradients(ensemble)
    for _ in range(5):
        ensemble.adam(1e-3, 0.0)
    assert everything(network) == before


def test_a_grown_connections_first_step_has_the_length_that_its_bias_correction_says(pool):
    for by_age, length in ((False, 0.1 / np.sqrt(0.001)), (True, 1.0)):
        network = random_network([4, 1], [1.0], np.random.default_rng(0))
        network.steps = 100_000
        if by_age:
            network.count_ages()
        (layer,) = network.layers
        network.rewire(network.layers[0].name, np.array([2]), np.array([2]))
        ensemble = Ensemble([network], pool)
        gradients(ensemble)[0][0][:] = 1.0
        ensemble.adam(1e-3, 0.0)
        assert layer.values[2] == pytest.approx(-1e-3 * length, rel=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_a_rewired_network_computes_what_one_built_that_way_computes(instruction_set, pool, seed):
    """So no index is left of the old topology: forward, backward and acting, to the bit."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.choice([3, 20, 64, 65, 130, 300], 3)]
    network = random_network(sizes, [0.5, 0.1], rng)
    for _ in range(3):
        for index, layer in enumerate(network.layers):
            network.rewire(network.layers[index].name, *random_event(layer, float(rng.random()), rng))
    for layer in network.layers:
        layer.set_values(rng.normal(size=layer.connections).astype(np.float32))
    fresh = mlp_network(
        sizes,
        [x.places() for x in network.layers],
        [x.values for x in network.layers],
        [x.bias for x in network.layers],
    )
    rows, pull = (rng.normal(size=(130, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
    tiles = pack(rows)
    ensembles = [Ensemble([each], pool) for each in (network, fresh)]
    outputs = [ensemble.forward(tiles)[0] for ensemble in ensembles]
    inputs = [ensemble.backward(tiles, [pack(pull)], inputs_from=0)[0] for ensemble in ensembles]
    assert np.array_equal(*outputs)
    assert np.array_equal(*inputs)
    assert np.array_equal(network.act(rows[0]), fresh.act(rows[0]))
    for old, new in zip(network.layers, fresh.layers, strict=True):
        assert np.array_equal(old.places(), new.places())
    for old, new in zip(*map(gradients, ensembles), strict=True):
        assert np.array_equal(old[0], new[0])


def test_a_dropped_connection_may_be_grown_again_in_the_same_event(pool):
    network = random_network([6, 4], [0.5], np.random.default_rng(0))
    (layer,) = network.layers
    layer.moments[0][:] = 1.0
    places = layer.places()
    network.rewire(network.layers[0].name, np.array([2]), places[2:3])
    assert np.array_equal(layer.places(), places)
    assert layer.values[2] == 0 and layer.moments[0][2] == 0
    assert (layer.values != 0).sum() == len(places) - 1


def test_a_layer_may_lose_and_regain_all_connections(instruction_set, pool):
    network = random_network([40, 30, 2], [0.2, 1.0], np.random.default_rng(0))
    (layer, _), x = network.layers, pack(np.ones((20, 40), dtype=np.float32))
    places = layer.places()
    network.rewire(network.layers[0].name, np.arange(len(places)), np.empty(0, dtype=np.int64))
    assert layer.connections == 0
    ensemble = Ensemble([network], pool)
    (empty,) = ensemble.forward(x)
    (of_inputs,) = ensemble.backward(x, [empty.copy()], inputs_from=0)
    assert not of_inputs.any()
    assert ensemble.value(0, "hidden1")[0, :, 0] == pytest.approx(np.maximum(layer.bias, 0))
    network.rewire(network.layers[0].name, np.empty(0, dtype=np.int64), places)
    assert np.array_equal(layer.places(), places)


@pytest.mark.parametrize(
    ("dropped", "grown", "message"),
    [
        ([10**6], [], "dropped connection 1000000"),
        ([-1], [], "dropped connection -1"),
        ([3, 3], [], "dropped connection 3"),
        ([0], [300], "place 300 is outside a layer of 300 places"),
        ([0], [-1], "place -1 is outside"),
        ([0], ["occupied"], "is given twice"),
        ([0], ["free", "free"], "is given twice"),
    ],
)
def test_a_refused_rewiring_changes_nothing(pool, dropped, grown, message):
    network = random_network([20, 15, 2], [0.5, None], np.random.default_rng(0))
    layer = network.layers[0]
    named = {"occupied": int(layer.places()[1]), "free": int(np.setdiff1d(np.arange(300), layer.places())[0])}
    x = pack(np.random.default_rng(1).normal(size=(9, 20)).astype(np.float32))
    ensemble = Ensemble([network], pool)
    pull = np.ones_like(ensemble.forward(x)[0])
    (of_inputs,) = ensemble.backward(x, [pull], inputs_from=0)
    (output,) = ensemble.outputs()
    before = everything(network), output.copy(), of_inputs.copy(), network.core.version("hidden1")
    with pytest.raises(ValueError, match=message):
        network.rewire(
            network.layers[0].name, np.array(dropped), np.array([named.get(g, g) for g in grown], dtype=np.int64)
        )
    ensemble.forward(x)
    ensemble.backward(x, [pull], inputs_from=0)
    assert everything(network) == before[0]
    assert np.array_equal(output, before[1])
    assert np.array_equal(of_inputs, before[2])
    assert network.core.version("hidden1") == before[3]


def test_a_dense_layer_has_no_place_to_grow_in():
    network = random_network([4, 3], [None], np.random.default_rng(0))
    with pytest.raises(ValueError, match="a dense layer has no empty place"):
        network.rewire(network.layers[0].name, np.array([0]), np.array([1]))
    network.rewire(network.layers[0].name, np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    assert network.layers[0].dense


def test_a_dense_layer_grows_what_it_has_just_dropped():
    values = np.arange(1, 33, dtype=np.float32)
    network = mlp_network([4, 8], [None], [values], [np.zeros(8, np.float32)])
    layer = network.layers[0]
    with pytest.raises(ValueError, match="twice"):
        network.rewire(layer.name, np.array([5, 9, 30]), np.array([9, 9]))
    network.rewire(layer.name, np.array([5, 9, 30]), np.array([9]))
    expected = values.copy()
    expected[[5, 9, 30]] = 0
    assert np.array_equal(layer.weights(), expected.reshape(8, 4))
    assert np.array_equal(np.sort(layer.places()), np.setdiff1d(np.arange(32), [5, 30]))


@pytest.mark.parametrize("by_age", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.9, 1.0])
def test_a_dense_layer_that_loses_connections_goes_on_as_a_sparse_one(instruction_set, pool, share, by_age):
    rng = np.random.default_rng(int(100 * share))
    network = random_network([23, 40, 3], [None, None], rng)
    if by_age:
        network.count_ages()
    ensemble = Ensemble([network], pool)
    x, pull = pack(rng.normal(size=(60, 23)).astype(np.float32)), pack(rng.normal(size=(60, 3)).astype(np.float32))
    for _ in range(3):
        ensemble.forward(x)
        ensemble.step(x, [pull], 1e-3, 1e-4)
    before = bits(network, 0)
    dropped = rng.permutation(40 * 23)[: int(share * 40 * 23)].astype(np.int64)
    network.rewire(network.layers[0].name, dropped, np.array([], dtype=np.int64))
    assert not network.layers[0].dense
    assert network.layers[0].connections == 40 * 23 - len(dropped)
    kept = {place: value for place, value in before.items() if place not in set(dropped.tolist())}
    assert bits(network, 0) == kept
    # From here on it is the same network as one that has been sparse from the start.
    arrays, values = network.state()
    again = type(network).from_state(arrays, values)
    for own in (network, again):
        ensemble = Ensemble([own], pool)
        for _ in range(3):
            ensemble.forward(x)
            ensemble.step(x, [pull], 1e-3, 1e-4)
    assert everything(network) == everything(again)


def test_places_come_in_the_order_of_values_whatever_order_they_were_given_in():
    rng = np.random.default_rng(4)
    places = random_places((9, 200), 0.3, rng)
    values = rng.normal(size=len(places)).astype(np.float32)
    network = random_network([200, 9], [0.0], rng)
    network = mlp_network([200, 9], [places], [values], [np.zeros(9, dtype=np.float32)])
    given = dict(zip(places.tolist(), values.tolist(), strict=True))
    (layer,) = network.layers
    assert dict(zip(layer.places().tolist(), layer.values.tolist(), strict=True)) == given


@pytest.mark.parametrize("threads", [1, 2])
def test_subnormal_numbers_are_zero_in_the_core_and_nowhere_else(instruction_set, threads):
    """Moments of dead units would crawl otherwise; but what Python computes is Python's."""
    networks = [random_network([40, 3], [0.5], np.random.default_rng(0)) for _ in range(threads)]
    for network in networks:
        for moment in network.layers[0].moments:
            moment[:] = 1.2e-38
    workers = Pool(threads)
    ensemble = Ensemble(networks, workers)
    for index in range(threads):
        gradients(ensemble, index)
    ensemble.adam(1e-3, 0.0)
    workers.close()
    for network in networks:
        assert not network.layers[0].moments[0].any()
    smallest = np.full(3, 1e-40, dtype=np.float32)
    network.act(np.ones(40, dtype=np.float32))
    assert (smallest * np.float32(0.5) != 0).all()


@pytest.mark.parametrize("number", [np.nan, np.inf, -1.0])
def test_numbers_of_adam_that_cannot_be_are_refused(pool, number):
    network = random_network([6, 2], [0.5], np.random.default_rng(0))
    x, ensemble = zeros(1, 6, 16), Ensemble([network], pool)
    (output,) = ensemble.forward(x)
    pull = output.copy()
    ensemble.backward(x, [pull])
    before = [array.copy() for _, array in network.arrays()]
    for call in (ensemble.adam, lambda *numbers, **named: ensemble.step(x, [pull], *numbers, **named)):
        for named, message in (
            ({}, "the learning rate must be finite, 0 or more"),
            ({"beta1": number}, "the betas must be at least 0 and below 1"),
            ({"epsilon": number}, "epsilon must be finite, 0 or more"),
        ):
            with pytest.raises(ValueError, match=message):
                call(1e-3 if named else number, **named)
    with pytest.raises(ValueError, match="below 1"):
        ensemble.adam(1e-3, beta1=1.0)
    with pytest.raises(ValueError, match="the weight decay must be finite"):
        ensemble.adam(1e-3, np.nan)
    assert all(np.array_equal(array, one) for (_, array), one in zip(network.arrays(), before, strict=True))
