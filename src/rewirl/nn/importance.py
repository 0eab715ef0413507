"""How much a network makes of each of its inputs; `rewirl.torch.importance` has the same scores of PyTorch models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.ensemble import Ensemble
from rewirl.nn.layer import Layer
from rewirl.nn.network import Network
from rewirl.nn.operations import ends
from rewirl.nn.tiles import pack


def strength(network: Network) -> NDArray[np.float64]:
    """Return the strength of each input (Atashgahi et al. 2022, QuickSelection).

    s_i = sum_j |w_ji| over the connections of the layers that read the inputs.

    Returns:
        float64 [n_in].
    """
    result = np.zeros(network.n_in)
    for layer in _first_layers(network):
        result += np.bincount(layer.places() % network.n_in, np.abs(layer.values), network.n_in)
    return result


def connections(network: Network) -> NDArray[np.int64]:
    """Return how many connections each input has in the layers that read the inputs, int64 [n_in]."""
    counts = [np.bincount(layer.places() % network.n_in, minlength=network.n_in) for layer in _first_layers(network)]
    total: NDArray[np.int64] = np.sum(counts, axis=0, dtype=np.int64)
    return total


def attribution(network: Network, x: NDArray[np.float32], outputs: int | None = None) -> NDArray[np.float64]:
    """Return the mean absolute gradient of the outputs by each input (Atashgahi et al. 2024).

    a_i = mean over samples of sum_k |d y_k / d x_i|

    Args:
        network: may learn; it stays what it is.
        x: float32 [samples, n_in], as the network sees them.
        outputs: how many, from the first on; None is all.

    Returns:
        float64 [n_in].
    """
    pool = _core.Pool(1)
    try:
        ensemble, tiles = Ensemble([network], pool, True, batch_statistics=False, dense_gradients=False), pack(x)
        (y,) = ensemble.forward(tiles, len(x))
        ones = pack(np.ones((len(x), 1), np.float32))
        total = np.zeros(network.n_in)
        for output in range(y.shape[1] if outputs is None else outputs):
            gradient = np.zeros_like(y)
            gradient[:, output : output + 1] = ones
            (of_inputs,) = ensemble.input_gradients(tiles, [gradient])
            total += np.abs(of_inputs).sum(axis=(0, 2), dtype=np.float64)
    finally:
        pool.close()
    return total / len(x)


def _first_layers(network: Network) -> list[Layer]:
    return [network.layer(name) for name, (first, _) in ends(network.operations).items() if first]
