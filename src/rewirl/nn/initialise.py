"""How networks begin: with random weights, or with given ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewirl.nn.layer import Places
from rewirl.nn.mlp import mlp, names_of
from rewirl.nn.network import Network
from rewirl.nn.operations import Linear, Operation, named

Initialisation = Literal["fan-in", "xavier"]
"""How random weights are drawn; see `initialised`."""

Scale = Literal["dense", "sparse", "largest"]
"""What they are scaled for; see there too."""


def initialised(
    n_in: int,
    operations: Sequence[Operation],
    places: Mapping[str, Places],
    rng: np.random.Generator,
    initialisation: Initialisation = "fan-in",
    scale: Scale = "dense",
) -> Network:
    """Return a network with random weights.

    Args:
        n_in: number of inputs.
        operations: what it is made of.
        places: for each linear operation by its name the places of its connections; None, or missing, is dense.
        rng: the stream the weights are drawn from, in the order of the operations.
        initialisation: fan-in is uniform within 1/sqrt(n_in), biases too (PyTorch's default); xavier is uniform
            within sqrt(6/(n_in + n_out)), biases 0 (Glorot and Bengio 2010).
        scale: dense, as if dense weights were masked afterwards, which is what most papers' codes do; sparse, n_in
            being for each unit the number of its connections, at least 1, and n_out the mean number of connections
            of an input, which keeps activations as large as in a dense network (Evci et al. 2020); largest, as if
            of dense weights those of the largest magnitude were kept.

    Raises:
        ValueError: operations and places do not fit together.
    """
    features = [n_in]
    arrays: dict[str, NDArray[np.float32]] = {}
    for operation, name, reads in named(operations):
        if isinstance(operation, Linear):
            weights, bias = _drawn(features[reads[0]], operation.n_out, places.get(name), rng, initialisation, scale)
            arrays[f"{name}.values"] = weights
            if operation.bias:
                arrays[f"{name}.bias"] = bias
        features.append(operation.made(features[reads[0]] if reads else 0))
    return Network(n_in, operations, places, arrays)


def _drawn(
    n_in: int, n_out: int, places: Places, rng: np.random.Generator, initialisation: Initialisation, scale: Scale
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows = None if places is None else places // n_in
    fan_in, fan_out = np.full(n_out, n_in), float(n_out)
    if scale == "sparse" and rows is not None:
        fan_in, fan_out = np.maximum(np.bincount(rows, minlength=n_out), 1), len(rows) / n_in
    xavier = initialisation == "xavier"
    bound = np.sqrt(6.0 / (fan_in + fan_out)) if xavier else 1.0 / np.sqrt(fan_in)
    of_values = np.broadcast_to(bound[:, np.newaxis], (n_out, n_in)) if rows is None else bound[rows]
    drawn = rng.uniform(-of_values, of_values)
    if scale == "largest" and rows is not None:  # which are uniform too, on the outer share of the range
        share = len(rows) / (n_in * n_out)
        drawn = np.copysign(of_values * (1 - share) + share * np.abs(drawn), drawn)
    bias = np.zeros(n_out) if xavier else rng.uniform(-bound, bound)
    return drawn.astype(np.float32).reshape(-1), bias.astype(np.float32)


def mlp_network(
    sizes: Sequence[int],
    places: Sequence[Places],
    values: Sequence[NDArray[np.float32]],
    biases: Sequence[NDArray[np.float32]],
    trainable: bool = True,
    heights: Sequence[int] | None = None,
) -> Network:
    """Return a multilayer perceptron with these weights.

    Args:
        sizes: number of units of each layer, inputs first.
        places: for each layer the places of its connections, or None for a dense layer.
        values: for each layer the weights, float32 [connections], in the order of `places` (row by row when dense).
        biases: for each layer, float32 [n_out].
        trainable: whether it has an optimiser; target networks do not.
        heights: of the blocks of each layer, see `Linear`; None for no blocks.

    Raises:
        ValueError: sizes, places and values do not fit together.
    """
    names = names_of(len(sizes) - 1)
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, weights, bias in zip(names, values, biases, strict=True):
        arrays |= {f"{name}.values": weights, f"{name}.bias": bias}
    return Network(sizes[0], mlp(sizes, heights), dict(zip(names, places, strict=True)), arrays, trainable)
