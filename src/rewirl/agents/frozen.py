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
from rewirl.nn.layer import Places
from rewirl.nn.operations import ends, named
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


@dataclass(frozen=True)
class _Head:
    """The output layer of a network as a task left it.

    Args:
        places: of its connections, int64 [connections], sorted.
        values: of these, float32 [connections].
        bias: float32 [n_out]; empty where there is none.
    """

    places: NDArray[np.int64]
    values: NDArray[np.float32]
    bias: NDArray[np.float32]


class Frozen:
    """The frozen connections of an agent's networks, and the output layers of the tasks that have ended.

    A task ends when all connections that live then in hidden layers are frozen. The biases of units that have one of
    them, or one to the outputs, are frozen too. The output layer is the task's own: it is kept aside, and another one
    learns. So the network of the connections of a task alone stays what it was.
    """

    def __init__(self) -> None:
        self.tasks = 0
        """How many tasks have ended."""
        self._layers: dict[str, dict[str, _FrozenLayer]] = {}
        self._heads: dict[str, dict[str, list[_Head]]] = {}

    def freeze(self, networks: Mapping[str, Network]) -> None:
        """End a task: freeze the living connections of networks.

        Raises:
            ValueError: so many tasks cannot be counted.
        """
        if self.tasks == MOST_TASKS:
            raise ValueError(f"at most {MOST_TASKS:,} tasks can end")
        self.tasks += 1
        for name, network in networks.items():
            hidden, outputs = _split(network)
            of = {layer.name: self._frozen(name, layer) for layer in hidden}
            used = _used(network)
            for layer_name, own in of.items():
                own.units[(own.units == 0) & used[layer_name]] = self.tasks
            self._layers[name] = of
            for layer in outputs:
                order = np.argsort(layer.places())
                head = _Head(layer.places()[order], layer.values[order], _bias(layer))
                self._heads.setdefault(name, {}).setdefault(layer.name, []).append(head)

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
        for layer_name, heads in self._heads[name].items():
            head = heads[task - 1]
            places[layer_name] = None if network.layer(layer_name).dense else head.places
            arrays[f"{layer_name}.values"] = head.values
            if len(head.bias):
                arrays[f"{layer_name}.bias"] = head.bias
        return Network(network.n_in, network.operations, places, arrays, trainable=False)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return which connections and biases are frozen, whose values are those of the networks, and the output layers
        of tasks."""
        if not self.tasks:
            return {}, {}
        arrays: dict[str, NDArray[Any]] = {}
        for name, layers in self._layers.items():
            for layer, own in layers.items():
                for array in ("places", "tasks", "units"):
                    arrays[f"{_NAME}.{name}.{layer}.{array}"] = getattr(own, array)
        for name, outputs in self._heads.items():
            for layer, heads in outputs.items():
                for task, head in enumerate(heads, 1):
                    for array in ("places", "values", "bias"):
                        arrays[f"{_NAME}.{name}.{layer}.task{task}.{array}"] = getattr(head, array)
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
        if frozen.tasks > MOST_TASKS:
            raise ValueError(f"{frozen.tasks:,} tasks are saved, more than the {MOST_TASKS:,} that can end")
        for name, network in networks.items():
            hidden, outputs = _split(network)
            frozen._layers[name] = {
                layer.name: _restored(layer, f"{_NAME}.{name}.{layer.name}", arrays, frozen.tasks) for layer in hidden
            }
            frozen._heads[name] = {
                layer.name: [
                    _restored_head(layer, f"{_NAME}.{name}.{layer.name}.task{task}", arrays)
                    for task in range(1, frozen.tasks + 1)
                ]
                for layer in outputs
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


def refuse_full(name: str, network: Network, times: int = 1, before: int = 0) -> None:
    """Refuse a network that has no free place in any hidden layer, or would have none with so many times its
    connections; `before` tasks had ended then.

    Raises:
        ValueError: so it is.
    """
    if all(layer.dense or layer.density * times >= 1 for layer in _split(network)[0]):
        tasks = before + times
        raise ValueError(f"{name} has no free place for another task after {tasks} of them; give a higher sparsity")


def allocate(
    name: str,
    network: Network,
    task: int,
    config: TopologyConfig,
    initialisation: Initialisation | Mapping[str, Initialisation],
    seed: int,
) -> None:
    """Give a network random connections for another task, as many in each hidden layer as the task before had there.

    Where a layer has fewer free places it gets all of them. Weights are drawn as at the start. Those of the output
    layer are drawn again, with moments of 0; its topology stays.

    Args:
        name: of the network.
        network: all of whose hidden connections are frozen.
        task: how many tasks have ended; each has had the same number of connections.
        config: of the agent, for the structure.
        initialisation: of the weights.
        seed: of the run.
    """
    rng = seeding.generator(seed, f"{name} topology after task {task}")
    hidden, outputs = _split(network)
    grown: dict[str, Places] = {layer.name: _new_places(layer, task, config, rng) for layer in hidden}
    grown |= {layer.name: None if layer.dense else np.sort(layer.places()) for layer in outputs}
    weights = seeding.generator(seed, f"{name} weights after task {task}")
    drawn = initialised(network.n_in, network.operations, grown, weights, initialisation, config.initial_scale)
    for layer in hidden:
        new = grown[layer.name]
        if new is not None and len(new):
            network.rewire(layer.name, np.empty(0, np.int64), new)
            _take(layer, drawn.layer(layer.name))
    for layer in outputs:
        _take(layer, drawn.layer(layer.name))
        biases = [layer.bias_moments] if len(_bias(layer)) else []
        if biases:
            layer.bias[:] = drawn.layer(layer.name).bias
        for moments in (layer.moments, *biases):
            for array in moments:
                array[:] = 0
        for born in (layer.born, *([layer.bias_born] if biases else [])):
            born[:] = network.steps  # with moments of 0 they are as young as connections that have just grown


def _take(layer: Layer, drawn: Layer) -> None:
    """Give connections of a layer the weights of those at the same places in another one."""
    places, values = layer.places(), layer.values.copy()
    order = np.argsort(places)
    values[order[np.searchsorted(places, drawn.places(), sorter=order)]] = drawn.values
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


def _split(network: Network) -> tuple[list[Layer], list[Layer]]:
    """Return the hidden layers of a network, and those that make its outputs."""
    at_ends = ends(network.operations)
    last = [at_ends[layer.name][1] for layer in network.layers]
    return (
        [layer for layer, is_last in zip(network.layers, last, strict=True) if not is_last],
        [layer for layer, is_last in zip(network.layers, last, strict=True) if is_last],
    )


def _used(network: Network) -> dict[str, NDArray[np.bool_]]:
    """Return by layer which of its outputs are used, by a connection to or from them; bool [n_out]."""
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
    return used


def _bias(layer: Layer) -> NDArray[np.float32]:
    try:
        return layer.bias.copy()
    except ValueError:  # it has none
        return np.empty(0, np.float32)


def _restored_head(layer: Layer, name: str, arrays: Mapping[str, NDArray[Any]]) -> _Head:
    """Return the output layer of a task by the saved arrays, checked.

    Raises:
        ValueError: an array is missing or does not fit; the message names it.
    """
    total, has_bias = layer.shape[0] * layer.shape[1], len(_bias(layer)) > 0
    found = []
    for array, dtype in (("places", np.int64), ("values", np.float32), ("bias", np.float32)):
        saved = arrays.get(f"{name}.{array}")
        if saved is None or saved.dtype != dtype or saved.ndim != 1 or not np.isfinite(saved).all():
            raise ValueError(f"the array {name}.{array} must be there, of finite {np.dtype(dtype)} and one dimension")
        found.append(saved.copy())
    places, values, bias = found
    in_range = len(places) and places[0] >= 0 and places[-1] < total and (np.diff(places) > 0).all()
    if not in_range or len(values) != len(places) or len(bias) != layer.shape[0] * has_bias:
        raise ValueError(f"the arrays {name}.places, values and bias do not fit the layer")
    if layer.dense and len(places) != total:
        raise ValueError(f"the array {name}.places has to have every place of a dense layer")
    return _Head(places, values, bias)


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
