"""Topological adaptation of networks (Sokar et al. 2022, Algorithm 1, lines "adapt topology", and Algorithm 3)."""

from __future__ import annotations

from typing import Any

from rewirl import seeding
from rewirl.nn import Initialisation, SparseMLP
from rewirl.topology import LayerState, Schedule, TopologyConfig, densities, random_topology, rewire
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
    places = random_topology(shapes, densities(config, shapes), seeding.generator(seed, f"{name} topology"))
    return SparseMLP.initialised(sizes, places, seeding.generator(seed, f"{name} weights"), initialisation)


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
        self._regrow_dropped = config.regrow_dropped
        self._rng = seeding.generator(seed, "adaptation")
        self.rewired = 0
        """Connections rewired so far, in all networks."""

    def due(self, update: int) -> bool:
        """Whether an event falls on this update, counted from 1."""
        return self.rule.adapts and self.schedule.due(update)

    def adapt(self, network: SparseMLP, update: int) -> None:
        """Rewire every sparse layer of a network; the number of connections stays what it is."""
        for index, layer in enumerate(network.layers):
            if layer.dense:
                continue
            state = LayerState(layer.shape, layer.places(), layer.values)
            change = rewire(self.rule, state, self.schedule.fraction_at(update), self._rng, self._regrow_dropped)
            if len(change.grown):
                network.rewire(index, change.dropped, change.grown)
                self.rewired += len(change.grown)

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
