"""SET: drop the connections closest to zero, grow as many at random (Sokar et al. 2022, Algorithm 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.places import random_empty_places
from rewirl.topology.rule import LayerState, Rule


class SET(Rule):
    """Drop the weakest connections in the manner of `config.drop` and grow as many uniformly at random."""

    def drop_score(self, state: LayerState, fraction: float) -> NDArray[np.float64]:
        """Score the connections in the manner of `config.drop`; see the three functions of this file."""
        if self.config.drop == "paper":
            return halves(state.weights)
        if self.config.drop == "code":
            return shares(state.weights, fraction)
        return magnitude(state.weights)

    def grow(
        self, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose uniformly among all sets of `count` free places."""
        return random_empty_places(occupied, state.total, count, rng)


def halves(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score for the paper's drop: half of those dropped are the smallest positive, half the largest negative weights.

    Zeros are closest to zero and go first, the halves are of the rest, and the odd one is positive. When one sign runs
    out the other goes on.

    Args:
        weights: float32 [connections].

    Returns:
        float64 [connections]: 2 * rank from zero for positive, 2 * rank + 1 for negative weights, -1 for zeros.
    """
    scores = np.full(len(weights), -1.0)
    for remainder, sign in enumerate((weights > 0, weights < 0)):
        outwards = _outwards(weights, sign)
        scores[outwards] = 2.0 * np.arange(len(outwards)) + remainder
    return scores


def shares(weights: NDArray[np.float32], fraction: float) -> NDArray[np.float64]:
    """Score for the published code's drop: the fraction of the positive and of the negative weights, and all zeros.

    Each share is rounded down. (The code itself compares with a threshold, which drops up to one more of each sign.)

    Args:
        weights: float32 [connections].
        fraction: of each sign to drop.

    Returns:
        float64 [connections]: -inf for what goes, +inf for what stays.
    """
    scores = np.where(weights == 0, -np.inf, np.inf)
    for sign in (weights > 0, weights < 0):
        outwards = _outwards(weights, sign)
        scores[outwards[: int(fraction * len(outwards))]] = -np.inf
    return scores


def magnitude(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score for dropping the smallest absolute values whatever their sign: the absolute value.

    Args:
        weights: float32 [connections].

    Returns:
        float64 [connections].
    """
    return np.abs(weights).astype(np.float64)


def _outwards(weights: NDArray[np.float32], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the indices of the chosen weights from zero outwards, equal ones in their order."""
    indices: NDArray[np.int64] = np.flatnonzero(chosen)
    magnitudes = np.abs(weights[indices])
    order = np.argsort(magnitudes)  # several times as fast as a stable sort, which only equal ones need
    if (np.diff(magnitudes[order]) == 0).any():
        order = np.argsort(magnitudes, kind="stable")
    return indices[order]
