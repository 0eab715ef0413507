"""Random networks for the tests of the core, and bounds on what float32 may get wrong in them."""

from __future__ import annotations

import numpy as np

from rewirl.nn import empty_tiles, mlp_network, pack, reference, tile_shape

UNIT = 2.0**-24
"""Largest relative error of one float32 operation."""

SIZES = [1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 63, 64, 65, 100, 128, 130, 191, 200, 256, 300, 390]
BATCHES = [1, 2, 15, 16, 17, 33, 48, 100, 112, 113, 127, 128, 129, 200, 255, 256, 257, 300]
DENSITIES = [None, 1.0, 0.9, 0.5, 0.25, 0.1, 0.02, 0.0]
"""None is a dense layer; 1.0 is one that is full but stored as a sparse one."""


def random_places(shape, density, rng, height=1):
    """Places of a random topology in random order, with an empty and a full row and column where there is room.

    In blocks of `height` rows, all of this is so of whole groups of rows.
    """
    if height > 1:
        groups = np.zeros((-(-shape[0] // height), shape[1]), dtype=bool)
        groups.reshape(-1)[random_places(groups.shape, density, rng)] = True
        return rng.permutation(np.flatnonzero(np.repeat(groups, height, axis=0)[: shape[0]])).astype(np.int64)
    exists = rng.random(shape) < density
    if 0 < density < 1:
        exists[rng.integers(shape[0])] = True
        exists[:, rng.integers(shape[1])] = True
        exists[rng.integers(shape[0])] = False
        exists[:, rng.integers(shape[1])] = False
    return rng.permutation(np.flatnonzero(exists)).astype(np.int64)


def random_network(sizes, densities, rng, trainable=True, heights=None):
    places, values, biases = [], [], []
    of_layers = zip(sizes[:-1], sizes[1:], densities, heights or [1] * len(densities), strict=True)
    for n_in, n_out, density, height in of_layers:
        chosen = None if density is None else random_places((n_out, n_in), density, rng, height)
        count = n_in * n_out if chosen is None else len(chosen)
        places.append(chosen)
        values.append(rng.normal(size=count).astype(np.float32))
        biases.append(rng.normal(size=n_out).astype(np.float32))
    return mlp_network(sizes, places, values, biases, trainable, heights)


def random_case(seed):
    """A random network and batch size."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 5))
    sizes = [int(n) for n in rng.choice(SIZES, depth + 1)]
    densities = [DENSITIES[i] for i in rng.integers(len(DENSITIES), size=depth)]
    return random_network(sizes, densities, rng), int(rng.choice(BATCHES)), rng


def gradients(ensemble, index=0):
    """For each layer of a network the gradients of its connections and its biases, from the last backward."""
    layers = ensemble.networks[index].layers
    return [[ensemble.gradient(index, f"{layer.name}.{array}") for array in ("values", "bias")] for layer in layers]


def tiles_with_rubbish(rows, rng):
    """The samples as tiles, with numbers in the padding that nothing may read."""
    tiles = pack(rows)
    _, width = tile_shape(len(rows))
    padding = len(rows) - (len(tiles) - 1) * width
    tiles[-1, :, padding:] = rng.normal(scale=100.0, size=tiles[-1, :, padding:].shape)
    return tiles


def slice_of_wider(tiles, rng):
    """The same tiles as the first features of wider ones, as the states are of states and actions."""
    batch = tiles.shape[0] * tiles.shape[2]
    wide = empty_tiles(batch, tiles.shape[1] + 3)
    wide[...] = rng.normal(size=wide.shape)
    wide[:, : tiles.shape[1]] = tiles
    return wide[:, : tiles.shape[1]]


def matrices(network):
    """Weights, masks and biases of a network as the reference takes them."""
    layers = network.layers
    weights = [reference.matrix(layer.shape, layer.places(), layer.values) for layer in layers]
    masks = [reference.mask(layer.shape, layer.places()) for layer in layers]
    return weights, masks, [layer.bias.astype(np.float64) for layer in layers]


def forward_bounds(weights, biases, activations):
    """How far float32 activations may be from these: n additions and products err by n units of the sum of magnitudes.

    That holds for any order of summation, fused or not (Higham 2002, section 3.1). ReLU enlarges no difference.
    """
    bounds = [np.zeros_like(activations[0])]
    for w, b, x in zip(weights, biases, activations, strict=False):
        terms = (w != 0).sum(axis=1) + 2
        sums = (np.abs(x) + bounds[-1]) @ np.abs(w).T + np.abs(b)
        bounds.append(bounds[-1] @ np.abs(w).T + terms * UNIT * sums)
    return bounds


def backward_bounds(weights, activations, output_gradient):
    """The same for the gradients, given activations that are exact: of connections, biases and inputs."""
    deltas = [np.asarray(output_gradient, dtype=np.float64)]
    errors = [np.zeros_like(deltas[0])]
    connections, biases = [], []
    for layer in reversed(range(len(weights))):
        delta, error, x = np.abs(deltas[-1]) + errors[-1], errors[-1], np.abs(activations[layer])
        terms = len(delta) + 8  # the padding adds zeros
        connections.insert(0, error.T @ x + terms * UNIT * (delta.T @ x))
        biases.insert(0, error.sum(axis=0) + terms * UNIT * delta.sum(axis=0))
        w = np.abs(weights[layer])
        gate = activations[layer] > 0 if layer > 0 else 1.0
        errors.append((error @ w + ((w != 0).sum(axis=0) + 2) * UNIT * (delta @ w)) * gate)
        deltas.append((deltas[-1] @ weights[layer]) * gate)
    return connections, biases, errors[-1]


def assert_within(found, expected, bound):
    """The smallest float32 number is forgiven too: smaller ones count as zero."""
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    excess = np.abs(found - expected) - bound
    assert (excess <= 1e-30).all(), f"off by {np.abs(found - expected).max()}, {excess.max()} beyond the bound"
