"""Frozen connections: they go on being computed with, and neither change nor go (SpaceNet, Sokar et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.config import AgentConfig
from rewirl.nn import Initialisation, Layer, Linear, Network, initialised
from rewirl.nn.operations import named
from rewirl.saved import count, fields
from rewirl.topology import TopologyConfig, random_free_indices
from rewirl.topology.blocks import Blocks, Part
from rewirl.topology.fan_in import FanIn

MOST_TASKS = 65_535
_NAME = "frozen"


@dataclass
class _FrozenLayer:
    """What is frozen of a layer.

    Args:
        places: of the frozen connections, int64 [frozen], sorted.
        tasks: the number of the task that each was frozen after, uint16 [frozen].
        units: the same for the bias of each output, 0 where it is not frozen, uint16 [n_out].
        values: of these connections, float32 [frozen].
        bias: float32 [n_out]; empty where there is none.
        positions: of these connections in the layer's values, int64 [frozen].
    """

    places: NDArray[np.int64]
    tasks: NDArray[np.uint16]
    units: NDArray[np.uint16]
    values: NDArray[np.float32]
    bias: NDArray[np.float32]
    positions: NDArray[np.int64]


class Frozen:
    """The frozen connections of an agent's networks.

    A task ends when all connections that live then are frozen. The biases of units that have one of them, and those of
    the outputs, are frozen too, so that the network of these connections alone stays what it was.
    """

    def __init__(self) -> None:
        self.tasks = 0
        """How many tasks have ended."""
        self._layers: dict[str, dict[str, _FrozenLayer]] = {}

    def freeze(self, networks: Mapping[str, Network]) -> None:
        """End a task: freeze the living connections of networks.

        Raises:
            ValueError: so many tasks cannot be counted.
        """
        if self.tasks == MOST_TASKS:
            raise ValueError(f"at most {MOST_TASKS:,} tasks can end")
        self.tasks += 1
        for name, network in networks.items():
            of = {layer.name: self._frozen(name, layer) for layer in network.layers}
            for layer, used in _used(network).items():
                units = of[layer].units
                units[(units == 0) & used] = self.tasks
            self._layers[name] = of

    def _frozen(self, network: str, layer: Layer) -> _FrozenLayer:
        """Return all that lives of a layer as frozen, what already was with its own task."""
        before = self._layers.get(network, {}).get(layer.name)
        positions = np.argsort(layer.places()).astype(np.int64)
        places = layer.places()[positions]
        tasks = np.full(len(places), self.tasks, np.uint16)
        units = np.zeros(layer.shape[0], np.uint16)
        if before is not None:
            tasks[np.searchsorted(places, before.places)] = before.tasks
            units = before.units
        return _FrozenLayer(places, tasks, units, layer.values[positions], _bias(layer), positions)

    def of(self, network: str, layer: Layer) -> NDArray[np.bool_] | None:
        """Return which connections of a layer are frozen, bool [connections] in its order; None where none is."""
        own = self._layers.get(network, {}).get(layer.name)
        if own is None:
            return None
        result = np.zeros(layer.connections, np.bool_)
        result[own.positions] = True
        return result

    def restore(self, name: str, network: Network) -> None:
        """Give what is frozen of a network the values back that a step of its optimiser has changed."""
        for layer_name, own in self._layers.get(name, {}).items():
            layer = network.layer(layer_name)
            values = layer.values.copy()
            values[own.positions] = own.values
            layer.set_values(values)
            if len(own.bias):
                units = own.units > 0
                layer.bias[units] = own.bias[units]

    def moved(self, name: str, network: Network) -> None:
        """Note that connections of a network have come and gone, so that those that stay are elsewhere."""
        for layer_name, own in self._layers.get(name, {}).items():
            places = network.layer(layer_name).places()
            order = np.argsort(places)
            own.positions = order[np.searchsorted(places, own.places, sorter=order)].astype(np.int64)

    def network_of(self, name: str, network: Network, task: int) -> Network:
        """Return a network of the connections of a task and of those before it alone, as it was when the task ended.

        Raises:
            ValueError: no such task has ended.
        """
        if not 1 <= task <= self.tasks:
            raise ValueError(f"there is no task {task}; {self.tasks} have ended, counted from 1")
        places, arrays = {}, {}
        for layer_name, own in self._layers[name].items():
            chosen = own.tasks <= task
            places[layer_name] = None if network.layer(layer_name).dense else own.places[chosen]
            arrays[f"{layer_name}.values"] = own.values[chosen]
            if len(own.bias):
                known = (own.units > 0) & (own.units <= task)
                arrays[f"{layer_name}.bias"] = np.where(known, own.bias, np.float32(0))
        return Network(network.n_in, network.operations, places, arrays, trainable=False)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return which connections and biases are frozen; their values are those of the networks."""
        if not self.tasks:
            return {}, {}
        arrays: dict[str, NDArray[Any]] = {}
        for name, layers in self._layers.items():
            for layer, own in layers.items():
                for array in ("places", "tasks", "units"):
                    arrays[f"{_NAME}.{name}.{layer}.{array}"] = getattr(own, array)
        return arrays, {_NAME: {"tasks": self.tasks}}

    @classmethod
    def restored(
        cls, networks: Mapping[str, Network], arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]
    ) -> Frozen:
        """Return what `state` described, of these networks.

        Raises:
            ValueError: an array is missing or does not fit; the message names it.
        """
        frozen = cls()
        if _NAME not in values:
            return frozen
        frozen.tasks = count(fields(values[_NAME], "the saved frozen tasks").get("tasks"), "the saved number of tasks")
        for name, network in networks.items():
            frozen._layers[name] = {
                layer.name: _restored(layer, f"{_NAME}.{name}.{layer.name}", arrays, frozen.tasks)
                for layer in network.layers
            }
        return frozen


def refuse_unfreezable(config: AgentConfig, networks: Mapping[str, Network]) -> None:
    """Refuse settings and networks of which a task would not stay what it is.

    Raises:
        ValueError: names the setting or the network, and why.
    """
    topology, why = config.topology, ""
    if topology.initial_sparsity is not None:
        why = "initial_sparsity changes how many connections there are, and a task adds to them"
    elif isinstance(topology.spread, FanIn):
        why = f"structure {topology.structure} says how many inputs a unit has, and a task gives it more"
    elif config.cbp_replacement_rate:
        why = "cbp_replacement_rate replaces units, and those of earlier tasks are to stay"
    elif config.normalise_observations:
        why = "normalise_observations would show earlier tasks other observations than they learnt from"
    for name, network in networks.items():
        if network.core.statistics() or not {each for each, _ in network.core.learnables()} <= {
            layer.name for layer in network.layers
        }:
            why = f"{name} learns more than connections and biases: {', '.join(network.made_of)}"
    if why:
        raise ValueError(f"connections cannot be frozen here: {why}")


def refuse_full(name: str, network: Network, times: int = 1) -> None:
    """Refuse a network that has no free place in any layer, or would have none with so many times its connections.

    Raises:
        ValueError: so it is.
    """
    if all(layer.dense or layer.density * times >= 1 for layer in network.layers):
        raise ValueError(f"{name} has no free place for another task after {times} of them; give a higher sparsity")


def allocate(
    name: str,
    network: Network,
    task: int,
    config: TopologyConfig,
    initialisation: Initialisation | Mapping[str, Initialisation],
    seed: int,
) -> None:
    """Give a network random connections for another task, as many in each layer as the task before had there.

    Where a layer has fewer free places it gets all of them. Weights are drawn as at the start.

    Args:
        name: of the network.
        network: all of whose connections are frozen.
        task: the number of the one that has ended, of which every task has had as many connections.
        config: of the agent, for the structure.
        initialisation: of the weights.
        seed: of the run.

    """
    rng = seeding.generator(seed, f"{name} topology after task {task}")
    grown = {layer.name: _new_places(layer, task, config, rng) for layer in network.layers}
    weights = seeding.generator(seed, f"{name} weights after task {task}")
    drawn = initialised(network.n_in, network.operations, grown, weights, initialisation, config.initial_scale)
    for layer in network.layers:
        new = grown[layer.name]
        if not len(new):
            continue
        network.rewire(layer.name, np.empty(0, np.int64), new)
        own, places = drawn.layer(layer.name), layer.places()
        values, order = layer.values.copy(), np.argsort(places)
        values[order[np.searchsorted(places, own.places(), sorter=order)]] = own.values
        layer.set_values(values)


def _new_places(layer: Layer, task: int, config: TopologyConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return random free places, int64 sorted, as many as each task before had, or as there are."""
    structure, n_in = config.spread, layer.shape[1]
    blocks = isinstance(structure, Blocks) and structure.height_in(layer.shape) > 1
    parts = structure.parts(layer.shape) if isinstance(structure, Blocks) and blocks else None
    occupied, new = np.sort(layer.places()), []
    for part in parts or [Part(0, layer.shape[0], 1, n_in)]:
        numbers = part.numbers(occupied)
        number = min(len(numbers) // task, part.total - len(numbers))
        new.append(part.indices(random_free_indices(numbers, part.total, number, rng)).reshape(-1))
    return np.sort(np.concatenate(new))


def _used(network: Network) -> dict[str, NDArray[np.bool_]]:
    """Return by layer which of its outputs are used: by a connection to or from them, or as outputs; bool [n_out]."""
    used: dict[str, NDArray[np.bool_]] = {}
    makes: list[set[str]] = [set()]  # by value, the layers that it is made of with no other layer between
    for operation, name, reads in named(network.operations):
        before = set().union(*(makes[value] for value in reads))
        makes.append({name} if isinstance(operation, Linear) else before)
        if not isinstance(operation, Linear):
            continue
        layer = network.layer(name)
        (n_out, n_in), places = layer.shape, layer.places()
        used[name] = np.bincount(places // n_in, minlength=n_out) > 0
        for source in before:
            used[source] |= np.bincount(places % n_in, minlength=n_in) > 0
    for source in makes[-1]:
        used[source][:] = True
    return used


def _bias(layer: Layer) -> NDArray[np.float32]:
    try:
        return layer.bias.copy()
    except ValueError:  # it has none
        return np.empty(0, np.float32)


def _restored(layer: Layer, name: str, arrays: Mapping[str, NDArray[Any]], most: int) -> _FrozenLayer:
    """Return what is frozen of a layer by the saved arrays, checked.

    Raises:
        ValueError: an array is missing or does not fit; the message names it.
    """
    found = []
    for array, dtype in (("places", np.int64), ("tasks", np.uint16), ("units", np.uint16)):
        saved = arrays.get(f"{name}.{array}")
        if saved is None or saved.dtype != dtype or saved.ndim != 1:
            raise ValueError(f"the array {name}.{array} must be there, of {np.dtype(dtype)} and one dimension")
        found.append(saved)
    places, tasks, units = found
    own = layer.places()
    order = np.argsort(own)
    at = np.searchsorted(own, places, sorter=order)
    if (np.diff(places) <= 0).any() or (at == len(own)).any() or not np.array_equal(own[order[at]], places):
        raise ValueError(f"the array {name}.places has places where the layer has no connection")
    if tasks.shape != places.shape or units.shape != (layer.shape[0],):
        raise ValueError(f"the arrays {name}.tasks and {name}.units do not fit the layer")
    if max(tasks.max(initial=0), units.max(initial=0)) > most or (tasks == 0).any():
        raise ValueError(f"the arrays {name}.tasks and {name}.units have tasks that have not ended")
    positions = order[at].astype(np.int64)
    return _FrozenLayer(places.copy(), tasks.copy(), units.copy(), layer.values[positions], _bias(layer), positions)
