"""Networks on the native core: lists of operations, of which the linear ones may be sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn import state
from rewirl.nn.layer import Layer, Places, of_one_moment
from rewirl.nn.mlp import mlp
from rewirl.nn.operations import Linear, Operation, named
from rewirl.nn.tiles import Tiles


class Network:
    """Operations over values, of which the first is the input and the last the output.

    Any number of threads may use it at once, each with a workspace of its own (see `Ensemble`); what changes it waits
    until they are through.

    Args:
        n_in: number of inputs.
        operations: what it is made of.
        places: for each linear operation by its name the places of its connections; None, or missing, is dense.
        arrays: what has been learnt, by the names of operation and array: `hidden1.values`, float32 [connections] in
            the order of `places` (row by row when dense), for every linear operation; `hidden1.bias` and so on where
            they are not to be what operations begin with.
        trainable: whether it has an optimiser; target networks do not.

    Raises:
        ValueError: operations, places and arrays do not fit together.
    """

    def __init__(
        self,
        n_in: int,
        operations: Sequence[Operation],
        places: Mapping[str, Places],
        arrays: Mapping[str, NDArray[np.float32]],
        trainable: bool = True,
    ) -> None:
        self.n_in = int(n_in)
        self.operations = tuple(operations)
        """As they were given."""
        self.trainable = trainable
        listed = named(self.operations)
        unknown = set(places) - {name for operation, name, _ in listed if isinstance(operation, Linear)}
        if unknown:
            raise ValueError(f"there are places of {min(unknown)!r}, which is no linear operation of the network")
        specs = []
        features = [self.n_in]
        shapes: dict[str, tuple[int, int]] = {}
        for operation, name, reads in listed:
            before = features[reads[0]] if reads else 0
            features.append(operation.made(before))
            weights: list[Any] = ["", None, None]
            if isinstance(operation, Linear):
                shapes[name] = (operation.n_out, before)
                if f"{name}.values" not in arrays:
                    raise ValueError(f"the operation {name} has no values")
                chosen = places.get(name)
                stored = operation.stored(chosen is None)
                if chosen is None and operation.format:  # which may be one that needs them
                    chosen = np.arange(before * operation.n_out, dtype=np.int64)
                weights = [stored, chosen, arrays[f"{name}.values"]]
            specs.append((operation.kind, name, reads, operation.settings(), *weights))
        self.core = _core.Network(self.n_in, specs, trainable)
        self.n_out = features[-1]
        self.layers = tuple(Layer(self.core, name, shape) for name, shape in shapes.items())
        """The linear operations, in their order."""
        own = dict(self.arrays())
        lengths: dict[str, dict[str, int]] = {name: {} for _, name, _ in listed}
        for full_name, array in own.items():
            lengths[_split(full_name)[0]][_split(full_name)[1]] = len(array)
        for (operation, name, reads), made in zip(listed, features[1:], strict=True):
            expected = operation.arrays(features[reads[0]] if reads else 0)
            if isinstance(operation, Linear):
                expected["values"] = lengths[name]["values"]  # as many as it has connections
            if (self.core.features(name), lengths[name]) != (made, expected):
                raise ValueError(
                    f"the core makes {self.core.features(name)} features of the operation {name}, with the arrays "
                    f"{lengths[name]}; its class {type(operation).__name__} says {made} and {expected}"
                )
        given = {f"{name}.values" for name in shapes}
        for full_name, array in arrays.items():
            if full_name not in own:
                raise ValueError(f"the network has no array {full_name!r}")
            if array.shape != own[full_name].shape:
                raise ValueError(f"{full_name} must have the shape {own[full_name].shape}, got {array.shape}")
            if full_name not in given:
                self.set_values(full_name, array)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The inputs and the outputs of every layer: the sizes of a network that is a chain of layers."""
        return (self.n_in, *(layer.shape[0] for layer in self.layers))

    @property
    def made_of(self) -> list[str]:
        """The kinds of its operations, each with the format of its weights where one was chosen; empty for a
        multilayer perceptron of the usual formats."""
        kinds = _kinds(self.operations)
        return [] if kinds == _kinds(mlp(self.sizes)) else kinds

    @property
    def connections(self) -> int:
        """Number of connections of all layers."""
        return sum(layer.connections for layer in self.layers)

    def first_moments(self) -> dict[str, NDArray[np.float32]]:
        """Return Adam's first moments of all that is learnt, or the traces of a `Stream`, by the names of `arrays`;
        may be written to."""
        return {f"{name}.{array}": self.core.first_moment(name, array) for name, array in self.core.learnables()}

    @property
    def steps(self) -> int:
        """Steps of the optimiser done."""
        return self.core.steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self.core.steps = steps

    def layer(self, name: str) -> Layer:
        """Return the linear operation of this name.

        Raises:
            ValueError: there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"the network has no layer {name!r}; it has {', '.join(layer.name for layer in self.layers)}")

    def arrays(self) -> list[tuple[str, NDArray[np.float32]]]:
        """Return all that has been learnt, by name, float32 and read only; `set_values` writes it."""
        names = [*self.core.learnables(), *self.core.statistics()]
        return [(f"{operation}.{array}", self.core.values(operation, array)) for operation, array in names]

    def values(self, name: str) -> NDArray[np.float32]:
        """Return one of `arrays` by its name, such as `hidden1.bias`, float32, read only.

        Raises:
            ValueError: there is none of this name.
        """
        return self.core.values(*_split(name))

    def set_values(self, name: str, values: NDArray[np.float32]) -> None:
        """Write to one of `arrays`.

        Raises:
            ValueError: there is none of this name, or it has another length.
        """
        self.core.set_values(*_split(name), values)

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

    def predict(self, x: Tiles) -> Tiles:
        """Run a batch through the network, as it is outside of training; any number of threads may do so at once.

        Args:
            x: float32 [tiles, n_in, width].

        Returns:
            float32 [tiles, n_out, width], an array of its own.

        Raises:
            ValueError: the shape does not fit.
        """
        return self.core.predict(x)

    def count_ages(self) -> None:
        """Let Adam's bias correction go by the age of each connection and bias from now on.

        Otherwise it goes by the steps of the network, and a grown connection, whose moments start from zero, takes
        first steps that are up to six times as long as usual.

        Raises:
            ValueError: the network is not trainable.
        """
        self.core.count_ages()

    def rewire(self, layer: str, dropped: NDArray[np.int64], grown: NDArray[np.int64]) -> None:
        """Drop connections and grow others; survivors keep weight and moments, grown ones start from zero in all.

        A dense layer that loses a connection is a sparse one from then on.

        Args:
            layer: its name.
            dropped: connections to drop, as indices into its `values`, int64.
            grown: places to grow, int64.

        Raises:
            ValueError: there is no such layer, an index or place is out of range, or a place is occupied, as all of a
                dense layer are, or only a part of a block comes or goes. Nothing has changed then.
        """
        self.core.rewire(layer, dropped, grown)

    def state(self, training: bool = True) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, as arrays (copies) and JSON values.

        Connections are in the order of their places, whatever order the core computes in.

        Args:
            training: whether what only training needs, such as Adam's moments, is among it.
        """
        return of_one_moment(self.core, lambda: self._state(training and self.trainable))

    def _state(self, training: bool) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        values = {**state.described(self.n_in, self.operations, self.sizes), "steps": self.steps}
        if training and self.core.ages:
            values["ages"] = True
        return state.arrays_of(self.core, self.layers, training), values

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], trainable: bool = True) -> Self:
        """Return the network that `state` described, of this version or of 0.1.0.

        Args:
            arrays: as returned by `state`.
            values: as returned by `state`.
            trainable: whether it has an optimiser; needs the moments among the arrays.

        Raises:
            ValueError: an array is missing, or its shape, dtype or numbers are impossible; the message names it.
        """
        saved = state.Saved(arrays, values)
        network = cls(saved.n_in, saved.operations, saved.places, saved.learnt, trainable)
        saved.restore(network.core, network.layers, trainable)
        return network


def _kinds(operations: Sequence[Operation]) -> list[str]:
    return [f"{o.kind} ({o.format})" if isinstance(o, Linear) and o.format else o.kind for o in operations]


def _split(name: str) -> tuple[str, str]:
    operation, _, array = name.partition(".")
    return operation, array
