"""What training costs where the sparsity changes: every stretch between two events at what it costs."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rewirl.agents.config import AgentConfig
from rewirl.agents.cost import Cost
from rewirl.topology import TopologyConfig
from rewirl.topology.budget import densities
from rewirl.topology.schedule import density_at

_MOST_STRETCHES = 2000
"""Between two events; more of them are summed several at once."""

Shapes = Mapping[str, Sequence[tuple[int, int]]]
"""By network the (outputs, inputs) of its layers."""


def updates_of(config: AgentConfig, total_timesteps: int) -> int:
    """Return the updates of a run of so many steps; the steps of the warm-up have none."""
    return config.updates_after(max(total_timesteps - config.learning_starts, 0))


class ChangingCost:
    """The connections and operations of a run by the schedule of its sparsity.

    Args:
        cost: the agent's.
        topology: its settings, with an initial sparsity.
        settings: of the agent, by name.
        shapes: of its networks.
        updates: of the whole run.
    """

    def __init__(
        self, cost: Cost, topology: TopologyConfig, settings: Mapping[str, Any], shapes: Shapes, updates: int
    ) -> None:
        self._cost, self._topology, self._settings = cost, topology, settings
        self._ends = {
            name: [
                sum(density * math.prod(shape) for density, shape in zip(densities(part, of), of, strict=True))
                for part in (topology.of(name).at_start, topology.of(name))
            ]
            for name, of in ((name, shapes[name]) for name in cost.networks)
        }
        self._events = {name: self._events_of(cost.delay(name, settings), updates) for name in cost.networks}

    def _events_of(self, delay: int, updates: int) -> range:
        """Return the updates on which a network has events that learns with every delay-th, but for some of very many.

        The last is the first from the end of the schedule on, which gives the final density.
        """
        topology, period = self._topology, math.lcm(self._topology.adapt_every, delay)
        first = topology.first_event(delay)
        if first is None or topology.rule == "static":
            return range(0)
        last = min(updates, topology.sparsity_end + period - 1)
        last = last if topology.adapt_end is None else min(last, topology.adapt_end)
        events = range(first, last + 1, period)
        return events[:: max(1, len(events) // _MOST_STRETCHES)]

    def connections(self, update: int) -> dict[str, int]:
        """Return the connections of each network that learns after an update."""
        start, end = self._topology.sparsity_start, self._topology.sparsity_end

        def density(name: str) -> float:
            events, (first, last) = self._events[name], self._ends[name]
            done = bisect_right(events, update)
            return density_at(events[done - 1] if done else 0, first, last, start, end)

        return {name: round(density(name)) for name in self._ends}

    def training_flops(self, updates: Sequence[int]) -> list[int]:
        """Return the operations of training until each of some updates, which are in order; see `Cost`."""
        wanted, total, found = set(updates), 0, {0: 0}
        marks = sorted({0, *updates}.union(*self._events.values()))
        for begin, end in pairwise(mark for mark in marks if mark <= updates[-1]):
            there = {name: [count] for name, count in self.connections(begin).items()}
            cost = self._cost.training_flops
            total += cost(there, end, self._settings) - cost(there, begin, self._settings)
            if end in wanted:
                found[end] = total
        return [found[update] for update in updates]
