"""Topological adaptation: networks start sparse and are rewired as they learn (Sokar et al. 2022, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.frozen import Frozen
from rewirl.nn import Initialisation, Linear, Network, Operation, initialised
from rewirl.nn.operations import ends, named
from rewirl.saved import count, fields
from rewirl.topology import (
    LayerState,
    TopologyConfig,
    densities,
    drop_scores,
    layer_budgets,
    make_rule,
    random_topology,
    rewire,
)
from rewirl.topology.adaptive import AdaptiveSparsity
from rewirl.topology.memory import RuleMemory
from rewirl.topology.predictive import predictive_topology

Gradient = Callable[[str], NDArray[np.float32]]
"""The gradient of a loss for every place of the layer of this name, connection or not, float32 [n_out, n_in]."""


def sparse_network(
    n_in: int,
    operations: Sequence[Operation],
    config: TopologyConfig,
    seed: int,
    name: str,
    initialisation: Initialisation | Mapping[str, Initialisation] = "fan-in",
    gains: Mapping[str, float] | None = None,
    predicts: NDArray[np.float64] | None = None,
) -> Network:
    """Return a network with a random sparse topology and random weights (Sokar et al. 2022, section 4).

    Args:
        n_in: number of inputs.
        operations: what the network is made of.
        config: says the density of each layer.
        seed: the run's seed.
        name: of the network, which decides its sparsity and its random streams.
        initialisation: of the weights, see `rewirl.nn.initialised`.
        gains: see there too.
        predicts: how well each input predicts each feature, as for `predictive_topology`, by which sparse first layers
            are chosen; None leaves them random.

    Raises:
        ValueError: the sparsity is impossible for these sizes; the message has the table of layers.
    """
    shape_of = linear_shapes(n_in, operations)
    shapes = list(shape_of.values())
    densities(config.of(name), shapes)  # an impossible sparsity is refused now, not when a changing one comes to it
    at_start = densities(config.at_start.of(name), shapes)
    indices = random_topology(shapes, at_start, seeding.generator(seed, f"{name} topology"), config.spread)
    rng = seeding.generator(seed, f"{name} weights")
    by_name = dict(zip(shape_of, indices, strict=True))
    if predicts is not None:
        choices = seeding.generator(seed, f"{name} predictive topology")
        for layer, (first, _) in ends(operations).items():
            own = by_name[layer]
            if first and own is not None:
                by_name[layer] = predictive_topology(shape_of[layer], own, predicts, choices, config.spread)
    in_places = in_blocks(n_in, operations, config)
    return initialised(n_in, in_places, by_name, rng, initialisation, config.initial_scale, gains)


def in_blocks(n_in: int, operations: Sequence[Operation], config: TopologyConfig) -> list[Operation]:
    """Return the operations, told which of them have blocks: the place where `nn` learns of the structure."""
    shape_of = linear_shapes(n_in, operations)
    return [
        replace(operation, height=config.block_height(shape_of[name])) if isinstance(operation, Linear) else operation
        for operation, name, _ in named(operations)
    ]


def linear_shapes(n_in: int, operations: Sequence[Operation]) -> dict[str, tuple[int, int]]:
    """Return (n_out, n_in) of every linear operation by its name, in their order; arguments as of `sparse_network`."""
    features, shapes = [n_in], {}
    for operation, name, reads in named(operations):
        before = features[reads[0]] if reads else 0
        features.append(operation.made(before))
        if isinstance(operation, Linear):
            shapes[name] = (operation.n_out, before)
    return shapes


class Adaptation:
    """When and how the networks of an agent are rewired.

    Args:
        config: rule and schedule.
        seed: the run's seed, from which the random stream of the rule is derived.

    Raises:
        ValueError: there is no such rule.
    """

    def __init__(self, config: TopologyConfig, seed: int) -> None:
        """Look the rule up, and make its random stream."""
        self.rule = make_rule(config.rule, config)
        self._memory = RuleMemory(self.rule)
        self.rewired = 0
        """Connections rewired so far, in all networks."""
        self.sparsity = AdaptiveSparsity(config) if config.adaptive else None
        """What adapts the sparsity to the loss; None where nothing does."""
        self._config = config
        self._rng = seeding.generator(seed, "adaptation")

    def due(self, update: int) -> bool:
        """Tell whether an event falls on this update, counted from 1."""
        return self.rule.adapts and self._config.due(update)

    def adapt(self, name: str, network: Network, update: int, gradient: Gradient, frozen: Frozen | None = None) -> None:
        """Rewire every sparse layer of a network; each keeps its number of connections, or follows its schedule.

        Args:
            name: of the network.
            network: which has just taken a step of its optimiser.
            update: number of the gradient update, from 1.
            gradient: of the loss of that step; rules may ask for it.
            frozen: connections that stay; None for none.

        Raises:
            ValueError: the rule returned what would break the topology, or keeps what no checkpoint can hold.
        """
        c, fraction, at_ends = self._config, self._config.fraction_at(update), ends(network.operations)

        def layer_state(index: int) -> LayerState:
            layer = network.layers[index]
            of_layer = partial(gradient, layer.name) if self.rule.uses_gradient else None
            where = (f"{name}.{layer.name}", *at_ends[layer.name])
            stays = None if frozen is None else frozen.of(name, layer)
            return LayerState(layer.shape, layer.places(), layer.values, of_layer, 1, *where, stays)

        def scores(index: int) -> NDArray[np.float64]:
            return drop_scores(self.rule, layer_state(index), fraction, self._rng, c.spread)

        shapes = [layer.shape for layer in network.layers]
        connections = [layer.connections for layer in network.layers]
        if self.sparsity is None:
            budgets = layer_budgets(c.of(name), shapes, connections, update, scores)
        else:
            budgets = self.sparsity.budgets(name, shapes, connections, update)
        for index, (layer, budget) in enumerate(zip(network.layers, budgets, strict=True)):
            if budget == layer.connections == math.prod(layer.shape):  # there is nowhere else to grow
                continue
            hidden = index < len(network.layers) - 1
            change = rewire(
                self.rule,
                layer_state(index),
                fraction,
                self._rng,
                regrow_dropped=c.regrow_dropped,
                connections=budget,
                structure=c.spread,
                ablate_below=c.ablate_below if hidden else 0.0,
            )
            if len(change.dropped) or len(change.grown):
                network.rewire(layer.name, change.dropped, change.grown)
                self.rewired += len(change.grown)
        if frozen is not None:
            frozen.moved(name, network)
        self._memory.check(lambda: make_rule(c.rule, c))

    def state(self) -> dict[str, Any]:
        """Return everything an exact continuation needs, as JSON values."""
        adaptive = {} if self.sparsity is None else {"sparsity": self.sparsity.state()}
        return {"rng": seeding.state(self._rng), "rewired": self.rewired, **self._memory.state(), **adaptive}

    def load_state(self, values: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: the values are not such a state.
        """
        values = fields(values, "the saved adaptation")
        rewired = count(values.get("rewired"), "the saved number of connections rewired")
        seeding.restore(self._rng, values.get("rng"))
        self._memory.load_state(values)
        if self.sparsity is not None:
            self.sparsity.load_state(values.get("sparsity"))
        self.rewired = rewired
