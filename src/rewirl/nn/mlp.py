"""Sparse multilayer perceptrons on the native core, and groups of them that are computed side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.tiles import Tiles
from rewirl.saved import count, shown

Places = NDArray[np.int64] | None
"""The places of a layer's connections, row * n_in + column; None is a dense layer."""

Initialisation = Literal["fan-in", "xavier"]
"""How random weights are drawn; see `SparseMLP.initialised`."""

Scale = Literal["dense", "sparse", "largest"]
"""What they are scaled for; see there too."""


class Layer:
    """A view of one layer of a network.

    Arrays are views of the network's own memory; a rewiring replaces them, so do not keep them across one.
    """

    def __init__(self, core: _core.Mlp, index: int, shape: tuple[int, int]) -> None:
        """See the class."""
        self._core = core
        self._index = index
        self.shape = shape
        """(n_out, n_in)."""

    @property
    def dense(self) -> bool:
        """Whether every place is a connection, and none has an index."""
        return self._core.dense(self._index)

    @property
    def connections(self) -> int:
        """Number of connections."""
        return self._core.connections(self._index)

    @property
    def density(self) -> float:
        """Connections divided by places."""
        return self.connections / (self.shape[0] * self.shape[1])

    def places(self) -> NDArray[np.int64]:
        """Return the place of every connection, int64 [connections], in the order of `values`."""
        return self._core.places(self._index)

    @property
    def values(self) -> NDArray[np.float32]:
        """The weight of every connection, float32 [connections], read only; `set_values` writes them."""
        return self._core.values(self._index)

    def set_values(self, values: NDArray[np.float32]) -> None:
        """Give every connection a weight.

        Args:
            values: float32 [connections], in the order of `places`.

        Raises:
            ValueError: their number is not that of the connections.
        """
        self._core.set_values(self._index, values)

    @property
    def gradient(self) -> NDArray[np.float32]:
        """The gradient of every connection from the last `backward`, float32 [connections]."""
        return self._core.gradient(self._index)

    @property
    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Adam's first and second moment of every connection, float32 [connections] each."""
        return self._core.first_moment(self._index), self._core.second_moment(self._index)

    @property
    def born(self) -> NDArray[np.uint32]:
        """The step of Adam after which each connection was grown, uint32; empty where ages do not count."""
        return self._core.born(self._index)

    @property
    def bias(self) -> NDArray[np.float32]:
        """The biases, float32 [n_out]."""
        return self._core.bias(self._index)

    @property
    def bias_gradient(self) -> NDArray[np.float32]:
        """The gradient of the biases from the last `backward`, float32 [n_out]."""
        return self._core.bias_gradient(self._index)

    @property
    def bias_moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Adam's first and second moment of the biases, float32 [n_out] each."""
        return self._core.bias_first_moment(self._index), self._core.bias_second_moment(self._index)

    def weights(self) -> NDArray[np.float32]:
        """Return the weight matrix as a dense array of its own, float32 [n_out, n_in]; for looking, not computing."""
        matrix = np.zeros(self.shape[0] * self.shape[1], dtype=np.float32)
        matrix[self.places()] = self.values
        return matrix.reshape(self.shape)


class SparseMLP:
    """A multilayer perceptron: ReLU after every layer but the last, connections only where its topology has them.

    Args:
        sizes: number of units of each layer, inputs first.
        places: for each layer the places of its connections, or None for a dense layer.
        values: for each layer the weights, float32 [connections], in the order of `places` (row by row when dense).
        biases: for each layer, float32 [n_out].
        trainable: whether it has gradients and an optimiser; target networks do not.

    Raises:
        ValueError: sizes, places and values do not fit together.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        places: Sequence[Places],
        values: Sequence[NDArray[np.float32]],
        biases: Sequence[NDArray[np.float32]],
        trainable: bool = True,
    ) -> None:
        """See the class."""
        self.sizes = tuple(int(size) for size in sizes)
        self.trainable = trainable
        self.core = _core.Mlp(list(self.sizes), list(places), list(values), trainable)
        shapes = zip(self.sizes[1:], self.sizes[:-1], strict=True)
        self.layers = tuple(Layer(self.core, index, shape) for index, shape in enumerate(shapes))
        for layer, bias in zip(self.layers, biases, strict=True):
            if bias.shape != layer.bias.shape:
                raise ValueError(f"a layer of {layer.shape[0]} outputs needs as many biases, got shape {bias.shape}")
            layer.bias[:] = bias

    @classmethod
    def initialised(
        cls,
        sizes: Sequence[int],
        places: Sequence[Places],
        rng: np.random.Generator,
        initialisation: Initialisation = "fan-in",
        scale: Scale = "dense",
    ) -> SparseMLP:
        """Return a network with random weights.

        Args:
            sizes: number of units of each layer, inputs first.
            places: for each layer the places of its connections, or None for a dense layer.
            rng: the stream the weights are drawn from.
            initialisation: fan-in is uniform within 1/sqrt(n_in), biases too (PyTorch's default); xavier is uniform
                within sqrt(6/(n_in + n_out)), biases 0 (Glorot and Bengio 2010).
            scale: dense, as if dense weights were masked afterwards, which is what most papers' codes do; sparse, n_in
                being for each unit the number of its connections, at least 1, and n_out the mean number of connections
                of an input, which keeps activations as large as in a dense network (Evci et al. 2020); largest, as if
                of dense weights those of the largest magnitude were kept.
        """
        values, biases = [], []
        for n_in, n_out, chosen in zip(sizes[:-1], sizes[1:], places, strict=True):
            rows = None if chosen is None else chosen // n_in
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
            values.append(drawn.astype(np.float32).reshape(-1))
            bias = np.zeros(n_out) if xavier else rng.uniform(-bound, bound)
            biases.append(bias.astype(np.float32))
        return cls(sizes, places, values, biases)

    @property
    def connections(self) -> int:
        """Number of connections of all layers."""
        return sum(layer.connections for layer in self.layers)

    @property
    def output(self) -> Tiles:
        """The output of the last forward, float32 [tiles, n_out, width]; valid until the next one."""
        return self.core.output()

    def squash(
        self, out: Tiles, noise: np.random.Generator | None = None, scale: float = 1.0, bound: float = 1.0
    ) -> None:
        """Write clip(tanh(output) + clip(scale * N(0, 1), -bound, bound), -1, 1), with the output of the last forward.

        Args:
            out: float32 [tiles, n_out, width]; may be a slice of the features of larger tiles.
            noise: the stream to draw the normal numbers from, as `normal` does; None for no noise.
            scale: of the noise.
            bound: of the scaled noise.
        """
        _core.squash(self.core, out, None if noise is None else noise.bit_generator, scale, bound)

    @property
    def input_gradient(self) -> Tiles:
        """The gradient of the inputs from the last `backward` that asked for them, float32 [tiles, inputs, width]."""
        return self.core.input_gradient()

    def act(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a single sample through the network.

        Args:
            x: float32 [n_in].

        Returns:
            float32 [n_out], an array of its own.
        """
        return self.core.act(x)

    def act_squashed(
        self, x: NDArray[np.float32], noise: np.random.Generator | None = None, scale: float = 1.0
    ) -> NDArray[np.float32]:
        """Run a single sample through the network and return clip(tanh(output) + scale * N(0, 1), -1, 1).

        Args:
            x: float32 [n_in].
            noise: the stream to draw the normal numbers from, as `normal` does; None for no noise.
            scale: of the noise.

        Returns:
            float32 [n_out], an array of its own.
        """
        return self.core.act_squashed(x, None if noise is None else noise.bit_generator, scale)

    def count_ages(self) -> None:
        """Let Adam's bias correction go by the age of each connection of a sparse layer from now on.

        Otherwise it goes by the steps of the network, and a grown connection, whose moments start from zero, takes
        first steps that are up to six times as long as usual.

        Raises:
            ValueError: the network is not trainable.
        """
        self.core.count_ages()

    def dense_gradient(self, layer: int, x: Tiles) -> NDArray[np.float32]:
        """Return the gradient of the loss of the last backward pass for every place of a layer, connection or not.

        It is computed when asked for, and costs as much as the gradient of a dense layer.

        Args:
            layer: which layer.
            x: the batch of that pass, float32 [tiles, n_in, width]; the network's values may have taken a step since.

        Returns:
            float32 [n_out, n_in], an array of its own.

        Raises:
            ValueError: there was no pass, or it had another batch.
        """
        return self.core.dense_gradient(layer, x)

    def rewire(self, layer: int, dropped: NDArray[np.int64], grown: NDArray[np.int64]) -> None:
        """Drop connections and grow others; survivors keep weight and moments, grown ones start from zero in all.

        A dense layer that loses a connection is a sparse one from then on.

        Args:
            layer: which layer.
            dropped: connections to drop, as indices into its `values`, int64.
            grown: places to grow, int64.

        Raises:
            ValueError: an index or place is out of range, or a place is occupied, as all of a dense layer are.
                Nothing has changed then.
        """
        self.core.rewire(layer, dropped, grown)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, as arrays (copies) and JSON values.

        Connections are in the order of their places, whatever order the core computes in.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for index, layer in enumerate(self.layers):
            order: Any = slice(None)
            if not layer.dense:
                places = layer.places()
                order = np.argsort(places)
                arrays[f"{index}.places"] = places[order]
            arrays[f"{index}.values"] = layer.values[order].copy()
            arrays[f"{index}.bias"] = layer.bias.copy()
            if self.trainable:
                for name, array in self._moments(layer).items():
                    arrays[f"{index}.{name}"] = (array if name.startswith("bias") else array[order]).copy()
                if len(layer.born):
                    arrays[f"{index}.born"] = layer.born[order].copy()
        return arrays, {"sizes": list(self.sizes), "steps": self.core.steps}

    @classmethod
    def from_state(
        cls, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], trainable: bool = True
    ) -> SparseMLP:
        """Return the network that `state` described.

        Args:
            arrays: as returned by `state`.
            values: as returned by `state`.
            trainable: whether it has gradients and an optimiser; needs the moments among the arrays.

        Raises:
            ValueError: an array is missing, or its shape, dtype or numbers are impossible; the message names it.
        """
        sizes = _sizes(values.get("sizes"))
        steps = count(values.get("steps", 0), "the step count of a network")
        depth = len(sizes) - 1
        places: list[Places] = []
        for index in range(depth):
            name = f"{index}.places"
            places.append(_array(arrays, name, None, np.int64) if name in arrays else None)
        counts = [sizes[i] * sizes[i + 1] if p is None else len(p) for i, p in enumerate(places)]
        weights = [_array(arrays, f"{i}.values", counts[i], np.float32) for i in range(depth)]
        biases = [_array(arrays, f"{i}.bias", sizes[i + 1], np.float32) for i in range(depth)]
        network = cls(sizes, places, weights, biases, trainable)
        network.core.steps = steps
        if trainable:
            for index, (layer, saved) in enumerate(zip(network.layers, places, strict=True)):
                order = slice(None) if saved is None else _positions(saved, layer.places())
                for name, array in cls._moments(layer).items():
                    given = _array(arrays, f"{index}.{name}", len(array), np.float32)
                    if name.endswith("v") and (given < 0).any():
                        raise ValueError(f"the array {index}.{name} of a network, of means of squares, is negative")
                    array[:] = given if name.startswith("bias") else given[order]
                if f"{index}.born" in arrays:
                    network.count_ages()
                    born = _array(arrays, f"{index}.born", len(layer.born), np.uint32)
                    if (born > steps).any():
                        raise ValueError(
                            f"the array {index}.born of a network has connections from after its last step"
                        )
                    layer.born[:] = born[order]
        return network

    @staticmethod
    def _moments(layer: Layer) -> dict[str, NDArray[np.float32]]:
        return dict(zip(("m", "v", "bias_m", "bias_v"), (*layer.moments, *layer.bias_moments), strict=True))


_ADAM = 0.9, 0.999, 1e-8
"""beta1, beta2 and epsilon (Kingma and Ba 2015)."""


class Group:
    """Networks of one kind that take the same input, such as twin critics; each is computed by a thread of its own.

    Args:
        networks: at least one, with equal input sizes.
        pool: the threads.
    """

    def __init__(self, networks: Sequence[SparseMLP], pool: _core.Pool) -> None:
        """See the class."""
        self.networks = tuple(networks)
        self._cores = [network.core for network in networks]
        self._pool = pool

    def compute(self, x: Tiles) -> None:
        """Run every network on the same batch; the outputs stay in the networks.

        Args:
            x: float32 [tiles, n_in, width]; may be a slice of the features of larger tiles.
        """
        _core.forward(self._pool, self._cores, x)

    def forward(self, x: Tiles) -> tuple[Tiles, ...]:
        """Run every network on the same batch.

        Args:
            x: as for `compute`.

        Returns:
            The output of each network, float32 [tiles, n_out, width]; valid until its next forward.
        """
        self.compute(x)
        return tuple(core.output() for core in self._cores)

    def backward(
        self, x: Tiles, output_gradients: Sequence[Tiles], parameters: bool = True, inputs_from: int = -1
    ) -> None:
        """Compute the gradients of a loss for the batch of the last `forward`.

        Args:
            x: that batch.
            output_gradients: of the loss with respect to each network's output, float32 [tiles, n_out, width]; must be
                zero for padding.
            parameters: whether the gradients of connections and biases are wanted.
            inputs_from: if not negative, the gradient of the inputs from this one on is computed too.

        Raises:
            ValueError: shapes are not those of the last forward.
        """
        _core.backward(self._pool, self._cores, x, list(output_gradients), parameters, inputs_from)

    def minimum(self, factor: float, scale: Tiles, offset: Tiles, out: Tiles) -> None:
        """Write offset + factor * scale * min_i output_i, with the outputs of the last forward.

        Args:
            factor: one number for all.
            scale: float32, as the output of a network, [tiles, n_out, width]; may be a slice of larger tiles.
            offset: the same.
            out: the same; is written to.

        Raises:
            ValueError: there was no forward, or a shape is not that of the outputs.
        """
        _core.minimum(self._cores, factor, scale, offset, out)

    def descend(self, x: Tiles, output_gradients: Sequence[Tiles], learning_rate: float, weight_decay: float) -> None:
        """Do `backward` and `adam` in one, which is faster: each layer takes its step while it is in the cache.

        Args:
            x: the batch of the last forward.
            output_gradients: as for `backward`.
            learning_rate: as for `adam`.
            weight_decay: as for `adam`.

        Raises:
            ValueError: shapes are not those of the last forward, or a network is not trainable.
        """
        _core.descend(self._pool, self._cores, x, output_gradients, learning_rate, *_ADAM, weight_decay)

    def regress(
        self,
        x: Tiles,
        targets: Tiles,
        weights: Tiles,
        errors: Sequence[Tiles],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        """Take one step of Adam down sum(weights * (output - targets)^2) with every network, each with one output.

        Args:
            x: a batch, as for `compute`.
            targets: float32 [tiles, 1, width].
            weights: of the samples, 0 for padding; float32 [tiles, 1, width].
            errors: for each network what output - targets is written to, float32 [tiles, 1, width].
            learning_rate: as for `adam`.
            weight_decay: as for `adam`.

        Raises:
            ValueError: shapes do not fit, or a network is not trainable or has more than one output.
        """
        _core.regress(self._pool, self._cores, x, targets, weights, errors, learning_rate, *_ADAM, weight_decay)

    def adam(self, learning_rate: float, weight_decay: float) -> None:
        """Take one step of Adam with L2 weight decay (Kingma and Ba 2015; beta 0.9 and 0.999, epsilon 1e-8).

        A grown connection starts with zero moments, while the bias correction goes by the steps of the network, unless
        `count_ages` was called.

        Args:
            learning_rate: step size.
            weight_decay: this times the weight is added to the gradient; biases and dense layers too.
        """
        _core.adam(self._pool, self._cores, learning_rate, *_ADAM, weight_decay)


def _positions(saved: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each place is among the saved ones, which are in another order."""
    order = np.argsort(saved)
    return order[np.searchsorted(saved, places, sorter=order)]


def _sizes(given: Any) -> list[int]:
    fine = isinstance(given, list) and len(given) >= 2
    if not fine or not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 2**24 for n in given):
        raise ValueError(f"the sizes of a network must be a list of at least two positive numbers, got {shown(given)}")
    return list(given)


def _array(arrays: Mapping[str, NDArray[Any]], name: str, length: int | None, dtype: type) -> NDArray[Any]:
    if name not in arrays:
        raise ValueError(f"the array {name} of a network is missing")
    array = arrays[name]
    if array.dtype != dtype or array.ndim != 1 or (length is not None and len(array) != length):
        expected = "any length" if length is None else f"length {length}"
        raise ValueError(f"the array {name} must be {np.dtype(dtype)} of {expected}, got {array.dtype} {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"the array {name} of a network has numbers that are not finite")
    return np.ascontiguousarray(array)


def squash_gradient(squashed: Tiles, gradient: Tiles) -> None:
    """Turn the gradient of y = tanh(z) into that of z, in place: gradient *= 1 - y^2.

    Args:
        squashed: y, float32 [tiles, features, width].
        gradient: with respect to y, of the same shape.
    """
    _core.squash_gradient(squashed, gradient)


def normal(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Draw independent standard normal numbers, several times as fast as NumPy.

    Args:
        rng: the stream to draw from.
        count: how many.

    Returns:
        float32 [count].
    """
    return _core.normal(rng.bit_generator, count)
