"""Networks as files have them: arrays by name, and JSON values that say what they are arrays of.

An array of an operation is `operation.array`: `hidden1.places` and `hidden1.values`, the connections of a sparse layer
in the order of their places, `hidden1.bias`. With training, the moments of the values are `m` and `v`, those of another
array `bias_m` and `bias_v`. `born` and `bias_born` are the steps after which connections and biases began, where ages
count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rewirl import _core
from rewirl.nn.layer import Layer, Places
from rewirl.nn.mlp import mlp
from rewirl.nn.operations import Linear, Operation, from_json, named, to_json
from rewirl.saved import count, saved_array, shown


def described(n_in: int, operations: Sequence[Operation], sizes: Sequence[int]) -> dict[str, Any]:
    """Return what a network is made of as JSON values: the sizes of a multilayer perceptron, else the operations."""
    if list(operations) == mlp(sizes):
        return {"sizes": list(sizes)}
    return {"n_in": n_in, "operations": to_json(operations)}


def arrays_of(core: _core.Network, layers: Sequence[Layer], training: bool) -> dict[str, NDArray[Any]]:
    """Return copies of the arrays of a network.

    Args:
        core: the network.
        layers: its linear operations.
        training: whether those that only training needs are among them.
    """
    arrays: dict[str, NDArray[Any]] = {}
    orders: dict[tuple[str, str], NDArray[np.int64]] = {}
    for layer in layers:
        if not layer.dense:
            places = layer.places()
            order = orders[layer.name, "values"] = np.argsort(places)
            arrays[f"{layer.name}.places"] = places[order]
    for operation, array in core.learnables():
        found: Any = orders.get((operation, array), slice(None))
        arrays[f"{operation}.{array}"] = core.values(operation, array)[found].copy()
        if training:
            first, second, began = _of_training(array)
            arrays[f"{operation}.{first}"] = core.first_moment(operation, array)[found].copy()
            arrays[f"{operation}.{second}"] = core.second_moment(operation, array)[found].copy()
            if len(born := core.born(operation, array)):
                arrays[f"{operation}.{began}"] = born[found].copy()
    for operation, array in core.statistics():
        arrays[f"{operation}.{array}"] = core.values(operation, array).copy()
    return arrays


class Saved:
    """A network from a file, checked.

    Args:
        arrays: as `Network.state` returned them, in this version or in 0.1.0, where layers have numbers for names.
        values: as it returned them.

    Raises:
        ValueError: an array is missing, or its shape, dtype or numbers are impossible; the message names it.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        self.n_in, self.operations = _made_of(values)
        """What the network is made of."""
        self.places: dict[str, Places] = {}
        self.learnt: dict[str, NDArray[np.float32]] = {}
        """Its arrays, by name."""
        self._steps = count(values.get("steps", 0), "the step count of a network")
        self._ages = values.get("ages", False)
        if not isinstance(self._ages, bool):
            raise ValueError(f"the ages of a network must be a truth value, got {shown(self._ages)}")
        listed = named(self.operations)
        numbers = [name for operation, name, _ in listed if isinstance(operation, Linear)]
        if "0.values" in arrays:
            arrays = {_renamed(name, numbers): array for name, array in arrays.items()}
        self._arrays = arrays
        features = [self.n_in]
        for operation, name, reads in listed:
            n_in = features[reads[0]] if reads else 0
            features.append(operation.made(n_in))
            expected = operation.arrays(n_in)
            if isinstance(operation, Linear):
                places = f"{name}.places"
                self.places[name] = chosen = _array(arrays, places, np.int64) if places in arrays else None
                expected["values"] = expected["values"] if chosen is None else len(chosen)
            for array, length in expected.items():
                self.learnt[f"{name}.{array}"] = _array(arrays, f"{name}.{array}", np.float32, length)
                if array == "variance" and (self.learnt[f"{name}.{array}"] < 0).any():
                    raise ValueError(f"the array {name}.{array} of a network, of variances, is negative")

    def restore(self, core: _core.Network, layers: Sequence[Layer], trainable: bool) -> None:
        """Put the step count and, with `trainable`, what only training needs into a network made of this.

        Raises:
            ValueError: an array is missing or impossible; the message names it.
        """
        core.steps = self._steps
        if not trainable:
            return
        order: dict[tuple[str, str], Any] = {}
        for layer in layers:
            saved = self.places[layer.name]
            if saved is not None:
                order[layer.name, "values"] = _positions(saved, layer.places())
        for operation, array in core.learnables():
            moments = core.first_moment(operation, array), core.second_moment(operation, array)
            for name, own in zip(_of_training(array)[:2], moments, strict=True):
                given = _array(self._arrays, f"{operation}.{name}", np.float32, len(own))
                if own is moments[1] and (given < 0).any():
                    raise ValueError(f"the array {operation}.{name} of a network, of means of squares, is negative")
                own[:] = given[order.get((operation, array), slice(None))]
        if self._ages:
            core.count_ages()
        # Earlier versions had no ages of dense layers and biases: what is missing is as old as the network.
        for operation, array in core.learnables():
            name = f"{operation}.{_of_training(array)[2]}"
            if name in self._arrays:
                core.count_ages()
                born = core.born(operation, array)
                saved_born = _array(self._arrays, name, np.uint32, len(born))
                if (saved_born > self._steps).any():
                    raise ValueError(f"the array {name} of a network has connections from after its last step")
                born[:] = saved_born[order.get((operation, array), slice(None))]


def _made_of(values: Mapping[str, Any]) -> tuple[int, list[Operation]]:
    if "operations" not in values:
        sizes = values.get("sizes")
        fine = isinstance(sizes, list) and len(sizes) >= 2
        if not fine or not all(type(n) is int and 0 < n < 2**24 for n in sizes):  # type: ignore[union-attr]
            raise ValueError(
                f"the sizes of a network must be a list of at least two positive numbers, got {shown(sizes)}"
            )
        return sizes[0], mlp(sizes)  # type: ignore[index, arg-type]
    n_in = count(values.get("n_in"), "the number of inputs of a network")
    operations = from_json(values["operations"])
    for operation in operations:
        size = operation.made(1)
        if not 0 < n_in < 2**24 or not 0 < size < 2**24:
            raise ValueError(
                f"the operation {operation.kind} of a network has the impossible size {size} or {n_in} inputs"
            )
    return n_in, operations


def _renamed(name: str, layers: Sequence[str]) -> str:
    """Return the name of an array of 0.1.0, `0.values`, as it is now."""
    number, _, array = name.partition(".")
    return f"{layers[int(number)]}.{array}" if number.isdecimal() and int(number) < len(layers) else name


def _of_training(array: str) -> tuple[str, str, str]:
    """Return what files call the two moments of an array, and the steps after which its parts began."""
    names = "m", "v", "born"
    return names if array == "values" else (f"{array}_m", f"{array}_v", f"{array}_born")


def _positions(saved: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each place is among the saved ones, which are in another order."""
    order = np.argsort(saved)
    return order[np.searchsorted(saved, places, sorter=order)]


def _array(arrays: Mapping[str, NDArray[Any]], name: str, dtype: DTypeLike, length: int | None = None) -> NDArray[Any]:
    return np.ascontiguousarray(saved_array(arrays, name, dtype, (length,), f"the array {name} of a network"))
