"""Static sparse training: the first topology is the last (Static-TD3 in Sokar et al. 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.rule import Rule
from rewirl.topology.state import LayerState


class Static(Rule):
    """Never drop a connection."""

    adapts = False

    def drop_score(self, state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Score every connection +inf: it stays in any case."""
        return np.full(len(state.indices), np.inf)

    def grow(
        self, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return no index: nothing is dropped that could be grown elsewhere."""
        return np.empty(0, dtype=np.int64)
