"""How networks begin: with random weights, or with given ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl.nn.layer import Layer, Places
from rewirl.nn.mlp import mlp, names_of
from rewirl.nn.network import Network
from rewirl.nn.operations import Linear, Operation, named

Initialisation = Literal["fan-in", "xavier", "he", "orthogonal"]
"""How random weights are drawn; see `initialised`."""

Scale = Literal["dense", "sparse", "largest"]
"""What they are scaled for; see there too."""


class Start(NamedTuple):
    """How the weights of a network begin."""

    initialisation: Initialisation | Mapping[str, Initialisation]
    """As for `initialised`, like the next two."""
    scale: Scale = "dense"
    gains: Mapping[str, float] | None = None

    def again(self, layer: Layer, which: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw weights of a layer as at the start; orthogonal ones with their variance, but not at right angles.

        Args:
            layer: whose weights these are.
            which: of its connections are drawn, bool [connections].
            rng: the random stream.

        Returns:
            float32 [connections drawn], in the order of the layer.
        """
        own = self.initialisation if isinstance(self.initialisation, str) else self.initialisation[layer.name]
        (n_out, n_in), rows, count = layer.shape, layer.places() // layer.shape[1], int(np.count_nonzero(which))
        if own in ("he", "orthogonal"):
            share = len(rows) / (n_in * n_out) if self.scale == "largest" else 1.0
            drawn = (_cut_normal if own == "he" else _normal_numbers)(rng, round(count / share) if count else 0)
            if share < 1:
                drawn = rng.permutation(drawn[np.argsort(-np.abs(drawn), kind="stable")[:count]])
            drawn = drawn * np.sqrt(2.0 / n_in if own == "he" else 1.0 / max(n_in, n_out))
            if self.scale == "sparse":
                drawn = drawn * np.sqrt(n_in / np.bincount(rows, minlength=n_out)[rows[which]])
        else:
            bound, share = _uniform(n_in, n_out, rows, own, self.scale)
            drawn = _outer(rng.uniform(-bound[rows[which]], bound[rows[which]]), bound[rows[which]], share)
        return (drawn * (self.gains or {}).get(layer.name, 1.0)).astype(np.float32)


def initialised(
    n_in: int,
    operations: Sequence[Operation],
    places: Mapping[str, Places],
    rng: np.random.Generator,
    initialisation: Initialisation | Mapping[str, Initialisation] = "fan-in",
    scale: Scale = "dense",
    gains: Mapping[str, float] | None = None,
) -> Network:
    """Return a network with random weights.

    Args:
        n_in: number of inputs.
        operations: what it is made of.
        places: for each linear operation by its name the places of its connections; None, or missing, is dense.
        rng: the stream the weights are drawn from, in the order of the operations.
        initialisation: fan-in is uniform within 1/sqrt(n_in), biases too (PyTorch's default); xavier is uniform
            within sqrt(6/(n_in + n_out)), biases 0 (Glorot and Bengio 2010); he is normal with the variance 2/n_in,
            cut off at two standard deviations before it is scaled, biases 0 (He et al. 2015, as in JAX); orthogonal
            has rows or columns, whichever are fewer, of norm 1 at right angles, biases 0 (Saxe et al. 2014). One for
            all, or by the name of each linear operation.
        scale: dense, as if dense weights were masked afterwards, which is what most papers' codes do; sparse, n_in
            being for each unit the number of its connections, at least 1, and n_out the mean number of connections
            of an input, which keeps activations as large as in a dense network (Evci et al. 2020); largest, as if
            of dense weights those of the largest magnitude were kept.
        gains: what the weights of a linear operation are multiplied by, by its name; 1 where it is not among them.

    Raises:
        ValueError: operations and places do not fit together.
    """
    features = [n_in]
    arrays: dict[str, NDArray[np.float32]] = {}
    for operation, name, reads in named(operations):
        if isinstance(operation, Linear):
            own: Initialisation = initialisation if isinstance(initialisation, str) else initialisation[name]
            drawn = _normal if own in ("he", "orthogonal") else _drawn
            weights, bias = drawn(features[reads[0]], operation.n_out, places.get(name), rng, own, scale)
            if operation.unit_norm:
                weights = _unit_norm(weights, features[reads[0]], operation.n_out, places.get(name))
            gain = (gains or {}).get(name, 1.0)
            arrays[f"{name}.values"] = weights if gain == 1 else weights * np.float32(gain)
            if operation.bias:
                arrays[f"{name}.bias"] = bias
        features.append(operation.made(features[reads[0]] if reads else 0))
    return Network(n_in, operations, places, arrays)


def _drawn(
    n_in: int, n_out: int, places: Places, rng: np.random.Generator, initialisation: Initialisation, scale: Scale
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows = None if places is None else places // n_in
    bound, share = _uniform(n_in, n_out, rows, initialisation, scale)
    of_values = np.broadcast_to(bound[:, np.newaxis], (n_out, n_in)) if rows is None else bound[rows]
    drawn = _outer(rng.uniform(-of_values, of_values), of_values, share)
    bias = np.zeros(n_out) if initialisation == "xavier" else rng.uniform(-bound, bound)
    return drawn.astype(np.float32).reshape(-1), bias.astype(np.float32)


def _uniform(
    n_in: int, n_out: int, rows: NDArray[np.int64] | None, initialisation: Initialisation, scale: Scale
) -> tuple[NDArray[np.float64], float]:
    """Return the bound of uniform weights for each unit, and which outer share of their range they are taken from."""
    fan_in, fan_out, share = np.full(n_out, n_in), float(n_out), 1.0
    if scale == "sparse" and rows is not None:
        fan_in, fan_out = np.maximum(np.bincount(rows, minlength=n_out), 1), len(rows) / n_in
    if scale == "largest" and rows is not None:
        share = len(rows) / (n_in * n_out)
    return np.sqrt(6.0 / (fan_in + fan_out)) if initialisation == "xavier" else 1.0 / np.sqrt(fan_in), share


def _outer(drawn: NDArray[np.float64], bound: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Move uniform numbers to the outer share of their range, where the largest magnitudes are uniform too."""
    return drawn if share == 1 else np.copysign(bound * (1 - share) + share * np.abs(drawn), drawn)


def _normal(
    n_in: int, n_out: int, places: Places, rng: np.random.Generator, initialisation: Initialisation, scale: Scale
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    bias = np.zeros(n_out, dtype=np.float32)
    count = n_in * n_out if places is None else len(places)
    if initialisation == "orthogonal":  # all of it at once, freed when its connections are taken
        values = _orthogonal(n_in, n_out, rng).reshape(-1)
    else:
        values = _cut_normal(rng, n_in * n_out if scale == "largest" else count) * np.sqrt(2.0 / n_in)
    if places is None:
        return values.astype(np.float32), bias
    if scale == "largest":
        largest = np.argpartition(-np.abs(values), count - 1)[:count] if count else np.empty(0, np.int64)
        return rng.permutation(values[largest]).astype(np.float32), bias
    values = values[places] if initialisation == "orthogonal" else values
    if scale == "sparse":
        fan_in = np.maximum(np.bincount(places // n_in, minlength=n_out), 1)
        values = values * np.sqrt(n_in / fan_in)[places // n_in]
    return values.astype(np.float32), bias


def _orthogonal(n_in: int, n_out: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Orthogonalise random rows by Gram and Schmidt, each twice; every orthogonal matrix is equally likely.

    Without BLAS, whose results depend on how many threads it has.
    """
    q = rng.normal(size=(min(n_in, n_out), max(n_in, n_out)))
    for k, row in enumerate(q):
        for _ in range(2):
            row -= np.einsum("i,ij->j", np.einsum("ij,j->i", q[:k], row), q[:k])
        row /= np.sqrt(np.einsum("i,i", row, row))
    return q if n_out <= n_in else q.T


def _normal_numbers(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.normal(size=count)


def _cut_normal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw normal numbers that were cut off at 2 and have variance 1 afterwards."""
    drawn = rng.normal(size=count)
    beyond = np.flatnonzero(np.abs(drawn) > 2)
    while len(beyond):
        drawn[beyond] = rng.normal(size=len(beyond))
        beyond = beyond[np.abs(drawn[beyond]) > 2]
    return drawn / _CUT_DEVIATION


_CUT_DEVIATION = 0.87962566103423978
"""Standard deviation of normal numbers that were cut off at 2."""


def _unit_norm(values: NDArray[np.float32], n_in: int, n_out: int, places: Places) -> NDArray[np.float32]:
    rows = np.repeat(np.arange(n_out), n_in) if places is None else places // n_in
    squares = np.bincount(rows, np.square(values, dtype=np.float64), n_out)
    factor = 1 / np.sqrt(np.where(squares > 0, squares, 1.0))
    result: NDArray[np.float32] = (values * factor[rows]).astype(np.float32)
    return result


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
