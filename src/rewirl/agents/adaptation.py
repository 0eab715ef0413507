"""Topological adaptation of networks (Sokar et al. 2022, Algorithm 1, lines "adapt topology", and Algorithm 3)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from rewirl import seeding
from rewirl.nn import Initialisation, SparseMLP, Tiles
from rewirl.topology import LayerState, Schedule, TopologyConfig, densities, density_at, random_topology, rewire
from rewirl.topology.rule import rule


def sparse_network(
    sizes: list[int], config: TopologyConfig, seed: int, name: str, initialisation: Initialisation = "fan-in"
) -> SparseMLP:
    """Return a network with a random sparse topology and random weights (Sokar et al. 2022, sparse initialisation).

    Args:
        sizes: number of units of each layer, inputs first.
        config: says the density of each layer.
        seed: the run's seed.
        name: of the network, so that each draws from streams of its own.
        initialisation: of the weights, see `SparseMLP.initialised`.

    Raises:
        ValueError: the sparsity is impossible for these sizes; the message has the table of layers.
    """
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    densities(config.of(name), shapes)  # an impossible sparsity is refused now, not when a changing one comes to it
    at_start = densities(config.at_start.of(name), shapes)
    places = random_topology(shapes, at_start, seeding.generator(seed, f"{name} topology"), config.spread)
    rng = seeding.generator(seed, f"{name} weights")
    return SparseMLP.initialised(sizes, places, rng, initialisation, config.initial_scale)


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
        self._regrow_dropped = config.regrow_dropped
        self._rng = seeding.generator(seed, "adaptation")
        self.rewired = 0
        """Connections rewired so far, in all networks."""

    def due(self, update: int) -> bool:
        """Whether an event falls on this update, counted from 1."""
        return self.rule.adapts and self.schedule.due(update)

    def adapt(self, name: str, network: SparseMLP, update: int, batch: Tiles) -> None:
        """Rewire every sparse layer of a network; the number of connections stays what it is, or follows its schedule.

        Args:
            name: of the network.
            network: which has just taken a step of its optimiser.
            update: number of the gradient update, from 1.
            batch: of that step, whose gradient rules may ask for.

        Raises:
            FloatingPointError: a weight is not finite.
        """
        fraction = self.schedule.fraction_at(update)
        for index, (layer, wanted) in enumerate(zip(network.layers, self._wanted(name, network, update), strict=True)):
            if layer.dense and wanted == layer.connections:
                continue
            if not np.isfinite(layer.values).all():
                raise FloatingPointError(f"layer {index} of {name} has weights that are not finite")
            gradient = partial(network.dense_gradient, index, batch) if self.rule.uses_gradient else None
            state = LayerState(layer.shape, layer.places(), layer.values, gradient)
            change = rewire(self.rule, state, fraction, self._rng, self._regrow_dropped, wanted, self._config.spread)
            if len(change.dropped) or len(change.grown):
                network.rewire(index, change.dropped, change.grown)
                self.rewired += len(change.grown)

    def _wanted(self, name: str, network: SparseMLP, update: int) -> list[int]:
        """Return how many connections each layer is to have after an event on this update."""
        c = self._config
        if c.initial_sparsity is None:
            return [layer.connections for layer in network.layers]
        shapes = [layer.shape for layer in network.layers]
        initial, final = (densities(config.of(name), shapes) for config in (c.at_start, c))
        return [
            round(density_at(update, first, last, c.sparsity_start, c.sparsity_end) * math.prod(shape))
            for first, last, shape in zip(initial, final, shapes, strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """Return everything an exact continuation needs, as JSON values."""
        return {"rng": seeding.state(self._rng), "rewired": self.rewired}

    def load_state(self, values: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: the values are not such a state.
        """
        if not isinstance(values, dict):
            raise ValueError(f"the saved adaptation is {values!r}, expected an object")
        rewired = values.get("rewired")
        if not isinstance(rewired, int) or isinstance(rewired, bool) or rewired < 0:
            raise ValueError(f"the saved number of connections rewired is {rewired!r}")
        seeding.restore(self._rng, values.get("rng"))
        self.rewired = rewired
