"""Forward, backward and acting against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
from cases import (
    assert_within,
    backward_bounds,
    forward_bounds,
    gradients,
    matrices,
    random_case,
    random_network,
    slice_of_wider,
    tiles_with_rubbish,
)
from compositions import N_IN, network_of

from rewirl._core import Pool
from rewirl.nn import (
    Add,
    BatchNorm,
    BatchRenorm,
    Ensemble,
    LayerNorm,
    Linear,
    Multiply,
    Parameter,
    ReLU,
    Tanh,
    pack,
    reference,
    tile_shape,
    unpack,
)

SEEDS = range(24)


def core_activations(ensemble, x, batch):
    """The inputs, and what the core has kept of its last forward, as the reference has them."""
    values = [ensemble.value(0, layer.name) for layer in ensemble.networks[0].layers]
    return [x.astype(np.float64)] + [unpack(value, batch).astype(np.float64) for value in values]


@pytest.mark.parametrize("seed", SEEDS)
def test_forward(instruction_set, pool, seed):
    network, batch, rng = random_case(seed)
    rows = rng.normal(size=(batch, network.sizes[0])).astype(np.float32)
    tiles = tiles_with_rubbish(rows, rng)
    ensemble = Ensemble([network], pool)
    (output,) = ensemble.forward(tiles)
    assert output.shape == (*tile_shape(batch)[:1], network.sizes[-1], tile_shape(batch)[1])
    weights, _, biases = matrices(network)
    expected = reference.forward(weights, biases, rows.astype(np.float64))
    bounds = forward_bounds(weights, biases, expected)
    for found, goal, bound in zip(core_activations(ensemble, rows, batch), expected, bounds, strict=True):
        assert_within(found, goal, bound)

    kept = output.copy()
    ensemble.forward(slice_of_wider(tiles, rng))
    assert np.array_equal(output, kept)
    assert np.array_equal(network.predict(tiles), kept)


@pytest.mark.parametrize("seed", SEEDS)
def test_backward(instruction_set, pool, seed):
    network, batch, rng = random_case(seed)
    rows = rng.normal(size=(batch, network.sizes[0])).astype(np.float32)
    gradient = rng.normal(size=(batch, network.sizes[-1])).astype(np.float32)
    inputs_from = int(rng.integers(network.sizes[0]))
    tiles = slice_of_wider(tiles_with_rubbish(rows, rng), rng)
    ensemble = Ensemble([network], pool)
    ensemble.forward(tiles)
    (of_inputs,) = ensemble.backward(tiles, [pack(gradient)], inputs_from=inputs_from)

    weights, masks, _ = matrices(network)
    activations = core_activations(ensemble, rows, batch)  # so that a ReLU just at zero is on the same side in both
    goals = reference.backward(weights, masks, activations, gradient.astype(np.float64))
    bounds = backward_bounds(weights, activations, gradient)
    for index, (layer, (connections, biases)) in enumerate(zip(network.layers, gradients(ensemble), strict=True)):
        places = layer.places()
        assert_within(connections, goals[0][index].reshape(-1)[places], bounds[0][index].reshape(-1)[places])
        assert_within(biases, goals[1][index], bounds[1][index])
    inputs = unpack(of_inputs, batch)
    assert_within(inputs, goals[2][:, inputs_from:], bounds[2][:, inputs_from:])


@pytest.mark.parametrize("seed", SEEDS)
def test_acting_on_one_sample(instruction_set, seed):
    network, _, rng = random_case(seed)
    x = rng.normal(size=network.sizes[0]).astype(np.float32)
    for turn in range(3):  # nothing is left behind by the first, nor by other values
        if turn == 2:
            network.layers[0].set_values(network.layers[0].values * np.float32(-3))
        weights, _, biases = matrices(network)
        expected = reference.forward(weights, biases, x[np.newaxis].astype(np.float64))
        assert_within(network.act(x)[np.newaxis], expected[-1], forward_bounds(weights, biases, expected)[-1])


@pytest.mark.parametrize("wide", [False, True])
def test_acting_on_sizes_around_the_blocks_of_64_inputs(instruction_set, wide):
    """A network that was used with larger numbers leaves nothing beyond the end of a narrower layer."""
    rng = np.random.default_rng(5)
    for n_in in [64, 65, 127, 128, 129, 190]:
        sizes = [n_in, 150, n_in, 3] if wide else [n_in, 3]
        network = random_network(sizes, [0.6] * (len(sizes) - 1), rng)
        weights, _, biases = matrices(network)
        for scale in (1e6, 1.0):
            x = (scale * rng.normal(size=n_in)).astype(np.float32)
            expected = reference.forward(weights, biases, x[np.newaxis].astype(np.float64))
            assert_within(network.act(x)[np.newaxis], expected[-1], forward_bounds(weights, biases, expected)[-1])


@pytest.mark.parametrize("density", [None, 1.0, 0.5, 0.05])
def test_backward_without_parameters_leaves_their_gradients_alone(instruction_set, pool, density):
    rng = np.random.default_rng(1)
    network = random_network([40, 30, 2], [density, density], rng)
    ensemble = Ensemble([network], pool)
    tiles = pack(rng.normal(size=(70, 40)).astype(np.float32))
    gradient = pack(rng.normal(size=(70, 2)).astype(np.float32))
    ensemble.forward(tiles)
    (of_inputs,) = ensemble.backward(tiles, [gradient], inputs_from=0)
    everything = of_inputs.copy()
    before = [array.copy() for of_layer in gradients(ensemble) for array in of_layer]
    ensemble.forward(2 * tiles)
    ensemble.input_gradients(2 * tiles, [3 * gradient])
    after = [array for of_layer in gradients(ensemble) for array in of_layer]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    ensemble.forward(tiles)
    (of_inputs,) = ensemble.input_gradients(tiles, [gradient], inputs_from=33)
    assert of_inputs.shape == (1, 7, 80)
    assert np.array_equal(of_inputs, everything[:, 33:])


def test_a_gradient_does_not_remember_the_one_before(instruction_set, pool):
    rng = np.random.default_rng(2)
    network = random_network([20, 30, 2], [0.5, None], rng)
    ensemble = Ensemble([network], pool)
    results = []
    for batch in (300, 50, 300):  # growing and shrinking what is kept of a batch
        batch_rng = np.random.default_rng(batch)
        tiles = pack(batch_rng.normal(size=(batch, 20)).astype(np.float32))
        ensemble.forward(tiles)
        ensemble.backward(tiles, [pack(batch_rng.normal(size=(batch, 2)).astype(np.float32))])
        results.append([np.array(array) for of_layer in gradients(ensemble) for array in of_layer])
    assert all(np.array_equal(a, b) for a, b in zip(results[0], results[2], strict=True))


def test_every_instruction_set_gives_the_same_bits_every_time(instruction_set, pool):
    def run():
        network, batch, rng = random_case(11)
        tiles = pack(rng.normal(size=(batch, network.sizes[0])).astype(np.float32))
        ensemble = Ensemble([network], pool)
        ensemble.forward(tiles)
        ensemble.backward(tiles, [pack(rng.normal(size=(batch, network.sizes[-1])).astype(np.float32))], inputs_from=0)
        ensemble.adam(1e-3, 1e-4)
        learnt = [a.copy() for layer in network.layers for a in (layer.values, *layer.moments)]
        return learnt + [array.copy() for of_layer in gradients(ensemble) for array in of_layer]

    assert all(np.array_equal(a, b) for a, b in zip(run(), run(), strict=True))


@pytest.mark.parametrize("count", [100, 256])
def test_threads_that_share_a_network_change_no_bit_of_any_operation(count):
    """Of a network so large that threads share it; each part has to take steps with the gradients that it computed."""
    operations = [
        Linear("in", n_out=200),
        BatchNorm("first"),
        ReLU(),
        Linear("wide", n_out=200),
        Add("sum", of=("in", "wide")),
        BatchRenorm("second", warm_up=0),
        LayerNorm("third"),
        Parameter("factor", size=200),
        Multiply("scaled", of=("third", "factor")),
        Tanh(),
        Linear("out", n_out=3),
    ]
    results = []
    for threads in (1, 2, 3):
        rng = np.random.default_rng(1)
        network = network_of(operations, rng)
        workers = Pool(threads)
        ensemble = Ensemble([network], workers)
        x, pull = pack(rng.normal(size=(count, N_IN))), pack(rng.normal(size=(count, 3)))
        for _ in range(3):
            ensemble.forward(x, count)
            ensemble.step(x, [pull], 1e-3, 1e-4)
            ensemble.forward(x, count)
            ensemble.backward(x, [pull])
            ensemble.adam(1e-3)
            ensemble.update_statistics()
        results.append({name: array.tobytes() for name, array in network.state()[0].items()})
        workers.close()
    assert results[0] == results[1] == results[2]
