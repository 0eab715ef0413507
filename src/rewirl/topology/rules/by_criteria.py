"""A rule that drops by one criterion and grows by another: all but static differ only in which."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.config import TopologyConfig
from rewirl.topology.rule import Rule
from rewirl.topology.rules import drop, grow
from rewirl.topology.rules.criteria import Drop, Grow
from rewirl.topology.state import LayerState


class ByCriteria(Rule):
    """Drop by `config.drop` and grow by `config.grow`; the choice "paper" of either is what the class says."""

    drops: ClassVar[Drop]
    """What the paper of the rule drops by."""

    grows: ClassVar[Grow]
    """What the paper of the rule grows by."""

    def __init__(self, config: TopologyConfig) -> None:
        """See Rule."""
        super().__init__(config)
        by = self.drops if config.drop == "paper" else config.drop
        to = self.grows if config.grow == "paper" else config.grow
        self._drop, self._grow, self._grow_score = drop.CRITERIA[by], grow.CRITERIA[to], grow.SCORES[to]
        self.uses_gradient = by in drop.USING_GRADIENT or to in grow.USING_GRADIENT

    def drop_score(self, state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Score the connections; see `rewirl.topology.drop`."""
        return self._drop(state, fraction, rng)

    def grow(
        self, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose places; see `rewirl.topology.grow`."""
        return self._grow(state, occupied, count, rng)

    def grow_score(self, state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
        """Score the places; see `rewirl.topology.grow`."""
        return self._grow_score(state, rng)
