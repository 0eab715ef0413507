"""The gradient of places that hold no connection."""

from __future__ import annotations

import numpy as np
import pytest
from cases import gradients, random_network, tiles_with_rubbish

from rewirl.nn import Ensemble, pack, reference


@pytest.mark.parametrize("batch", [1, 20, 100, 256])
@pytest.mark.parametrize("densities", [(0.5, 0.1, None), (None, 1.0, 0.3), (0.0, 0.5, None)])
def test_every_place_has_the_gradient_of_the_dense_computation(instruction_set, pool, batch, densities):
    rng = np.random.default_rng(batch)
    network = random_network([23, 70, 33, 2], densities, rng)
    rows = rng.normal(size=(batch, 23)).astype(np.float32)
    x, pull = tiles_with_rubbish(rows, rng), rng.normal(size=(batch, 2)).astype(np.float32)
    ensemble = Ensemble([network], pool)
    ensemble.forward(x)
    ensemble.backward(x, [pack(pull)])
    weights = [reference.matrix(layer.shape, layer.places(), layer.values) for layer in network.layers]
    biases = [layer.bias.astype(np.float64) for layer in network.layers]
    activations = reference.forward(weights, biases, rows)
    delta = pull.astype(np.float64)
    for index in reversed(range(3)):
        inputs = activations[index]
        expected = delta.T @ inputs
        layer = network.layers[index]
        found = ensemble.dense_gradient(0, layer.name, x)
        assert found.shape == layer.shape and found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        of_connections = found.reshape(-1)[layer.places()]
        assert of_connections == pytest.approx(gradients(ensemble)[index][0], rel=1e-4, abs=1e-4)
        delta = (delta @ weights[index]) * (inputs > 0)


def test_it_is_that_of_the_pass_and_not_of_the_step_that_followed(pool):
    rng = np.random.default_rng(0)
    network = random_network([5, 30, 1], (0.5, None), rng)
    x, pull = pack(rng.normal(size=(40, 5)).astype(np.float32)), pack(np.ones((40, 1), np.float32))
    ensemble = Ensemble([network], pool)
    ensemble.forward(x)
    ensemble.backward(x, [pull])
    before = ensemble.dense_gradient(0, "hidden1", x)
    ensemble.forward(x)
    ensemble.step(x, [pull], 0.1, 0.0)
    assert np.array_equal(ensemble.dense_gradient(0, "hidden1", x), before)


def test_without_a_pass_or_with_another_batch_it_is_refused(pool):
    rng = np.random.default_rng(0)
    network = random_network([5, 30, 1], (0.5, None), rng)
    x = pack(rng.normal(size=(40, 5)).astype(np.float32))
    ensemble = Ensemble([network], pool)
    for _ in range(2):
        with pytest.raises(ValueError, match="batch of the last backward"):
            ensemble.dense_gradient(0, "hidden1", x)
        ensemble.forward(x)
    ensemble.backward(x, [pack(np.ones((40, 1), np.float32))])
    with pytest.raises(ValueError, match="batch of the last backward"):
        ensemble.dense_gradient(0, "hidden1", pack(np.zeros((400, 5), np.float32)))
    with pytest.raises(ValueError, match="features"):
        ensemble.dense_gradient(0, "hidden1", pack(np.zeros((40, 6), np.float32)))
    with pytest.raises(ValueError, match="no operation 'hidden2'"):
        ensemble.dense_gradient(0, "hidden2", x)
