"""A rule that drops by one criterion and grows by another; SET, RigL and Prune differ only in which."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.blocks import Blocks
from rewirl.topology.config import TopologyConfig
from rewirl.topology.rule import Rule
from rewirl.topology.rules import drop, grow
from rewirl.topology.rules.criteria import BY_SIGN, Drop, Grow
from rewirl.topology.state import LayerState


class ByCriteria(Rule):
    """Drop by `config.drop` and grow by `config.grow`; "paper" for either is the criterion that the class names.

    In blocks, which have no sign, "paper" is magnitude where the class names a criterion by sign.
    """

    drops: ClassVar[Drop]
    """Criterion of the rule's paper to drop by."""

    grows: ClassVar[Grow]
    """Criterion of the rule's paper to grow by."""

    def __init__(self, config: TopologyConfig) -> None:
        """Look the criteria up."""
        super().__init__(config)
        drop_by = self.drops if config.drop == "paper" else config.drop
        if isinstance(config.spread, Blocks) and drop_by in BY_SIGN:
            drop_by = "magnitude"
        grow_by = self.grows if config.grow == "paper" else config.grow
        self._drop = drop.CRITERIA[drop_by]
        self._grow, self._grow_score = grow.CRITERIA[grow_by], grow.SCORES[grow_by]
        self.uses_gradient = drop_by in drop.USING_GRADIENT or grow_by in grow.USING_GRADIENT

    def drop_score(self, state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Score the connections by the criterion of `rewirl.topology.rules.drop`."""
        return self._drop(state, fraction, rng)

    def grow(
        self, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose free indices by the criterion of `rewirl.topology.rules.grow`."""
        return self._grow(state, occupied, count, rng)

    def grow_score(self, state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
        """Score the weights of the matrix by the same criterion."""
        return self._grow_score(state, rng)
