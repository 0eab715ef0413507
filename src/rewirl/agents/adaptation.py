"""Topological adaptation of networks (Sokar et al. 2022, Algorithm 1, lines "adapt topology", and Algorithm 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.nn import Initialisation, Network, initialised, mlp, names_of
from rewirl.saved import count, fields
from rewirl.topology import (
    LayerState,
    Schedule,
    TopologyConfig,
    densities,
    density_at,
    random_topology,
    rewire,
    shares_of_best,
)
from rewirl.topology.rule import drop_scores, rule

Gradient = Callable[[str], NDArray[np.float32]]


def sparse_network(
    sizes: list[int], config: TopologyConfig, seed: int, name: str, initialisation: Initialisation = "fan-in"
) -> Network:
    """Return a network with a random sparse topology and random weights (Sokar et al. 2022, sparse initialisation).

    Args:
        sizes: number of units of each layer, inputs first.
        config: says the density of each layer.
        seed: the run's seed.
        name: of the network, so that each draws from streams of its own.
        initialisation: of the weights, see `rewirl.nn.initialised`.

    Raises:
        ValueError: the sparsity is impossible for these sizes; the message has the table of layers.
    """
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    densities(config.of(name), shapes)  # an impossible sparsity is refused now, not when a changing one comes to it
    at_start = densities(config.at_start.of(name), shapes)
    places = random_topology(shapes, at_start, seeding.generator(seed, f"{name} topology"), config.spread)
    rng = seeding.generator(seed, f"{name} weights")
    by_name = dict(zip(names_of(len(shapes)), places, strict=True))
    return initialised(sizes[0], mlp(sizes), by_name, rng, initialisation, config.initial_scale)


class Adaptation:
    """When and how the networks of an agent are rewired.

    Args:
        config: rule and schedule.
        seed: the run's seed, from which the stream of growth is derived.

    Raises:
        ValueError: there is no such rule.
    """

    def __init__(self, config: TopologyConfig, seed: int) -> None:
        """See the class."""
        self.rule = rule(config.rule, config)
        self.schedule = Schedule.from_config(config)
        self._config = config
        self._rng = seeding.generator(seed, "adaptation")
        self.rewired = 0
        """Connections rewired so far, in all networks."""

    def due(self, update: int) -> bool:
        """Whether an event falls on this update, counted from 1."""
        return self.rule.adapts and self.schedule.due(update)

    def adapt(self, name: str, network: Network, update: int, gradient: Gradient) -> None:
        """Rewire every sparse layer of a network; the number of connections stays what it is, or follows its schedule.

        Args:
            name: of the network.
            network: which has just taken a step of its optimiser.
            update: number of the gradient update, from 1.
            gradient: of the loss of that step, for every place of the layer of a name; rules may ask for it.
        """
        c, fraction = self._config, self.schedule.fraction_at(update)
        every_wanted = self._wanted(name, network, update, gradient)
        for index, (layer, wanted) in enumerate(zip(network.layers, every_wanted, strict=True)):
            if layer.dense and wanted == layer.connections:
                continue
            state = self._layer_state(network, index, gradient)
            hidden = index < len(network.layers) - 1
            change = rewire(
                self.rule,
                state,
                fraction,
                self._rng,
                c.regrow_dropped,
                wanted,
                c.spread,
                c.ablate_below if hidden else 0.0,
            )
            if len(change.dropped) or len(change.grown):
                network.rewire(layer.name, change.dropped, change.grown)
                self.rewired += len(change.grown)

    def _layer_state(self, network: Network, index: int, gradient: Gradient) -> LayerState:
        layer = network.layers[index]
        of_layer = partial(gradient, layer.name) if self.rule.uses_gradient else None
        return LayerState(layer.shape, layer.places(), layer.values, of_layer)

    def _wanted(self, name: str, network: Network, update: int, gradient: Gradient) -> list[int]:
        """Return how many connections each layer is to have after an event on this update."""
        c = self._config
        if c.initial_sparsity is None:
            return [layer.connections for layer in network.layers]
        if c.distribution == "global":
            return self._wanted_of_network(name, network, update, gradient)
        shapes = [layer.shape for layer in network.layers]
        initial, final = (densities(config.of(name), shapes) for config in (c.at_start, c))
        wanted = [
            round(density_at(update, first, last, c.sparsity_start, c.sparsity_end) * math.prod(shape))
            for first, last, shape in zip(initial, final, shapes, strict=True)
        ]
        if c.distribution == "connectivity":  # a layer that gets nothing may by chance have begun with some more
            return [max(count, layer.connections) for count, layer in zip(wanted, network.layers, strict=True)]
        return wanted

    def _wanted_of_network(self, name: str, network: Network, update: int, gradient: Gradient) -> list[int]:
        """Return the same where the connections of all layers are ranked together (Arnob et al. 2021)."""
        c, places = self._config, sum(math.prod(layer.shape) for layer in network.layers)
        sparsity = c.of(name).sparsity
        assert sparsity is not None  # the configuration has seen to it
        count = round(density_at(update, 1.0, 1 - sparsity, c.sparsity_start, c.sparsity_end) * places)
        if count >= network.connections:
            return [layer.connections for layer in network.layers]
        fraction, depth = self.schedule.fraction_at(update), len(network.layers)
        states = [self._layer_state(network, index, gradient) for index in range(depth)]
        return shares_of_best([drop_scores(self.rule, state, fraction, self._rng) for state in states], count)

    def state(self) -> dict[str, Any]:
        """Return everything an exact continuation needs, as JSON values."""
        return {"rng": seeding.state(self._rng), "rewired": self.rewired}

    def load_state(self, values: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: the values are not such a state.
        """
        values = fields(values, "the saved adaptation")
        rewired = count(values.get("rewired"), "the saved number of connections rewired")
        seeding.restore(self._rng, values.get("rng"))
        self.rewired = rewired
