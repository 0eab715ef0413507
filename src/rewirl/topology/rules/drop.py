"""Criteria to drop by: a score for each connection, the lowest of which are dropped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.state import LayerState

Criterion = Callable[[LayerState, float, np.random.Generator], NDArray[np.float64]]
"""From the layer, the fraction to drop and a random stream to the score of each connection, float64 [connections]."""


def halves(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score for the drop of Sokar et al. 2022: half the smallest positive, half the largest negative weights.

    Zeros are dropped first, the halves are of the rest, and the odd one is positive. When one sign runs out the other
    goes on.

    Returns:
        2 * rank from zero for positive, 2 * rank + 1 for negative weights, -1 for zeros.
    """
    scores = np.full(len(state.weights), -1.0)
    for remainder, sign in enumerate((state.weights > 0, state.weights < 0)):
        outwards = _outwards(state.weights, sign)
        scores[outwards] = 2.0 * np.arange(len(outwards)) + remainder
    return scores


def shares(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score for the drop of their published code: the fraction of the positive and of the negative weights, and zeros.

    Each share is rounded down. (The code itself compares with a threshold, which drops up to one more of each sign.)

    Returns:
        -inf for what is dropped, +inf for what stays.
    """
    scores = np.where(state.weights == 0, -np.inf, np.inf)
    for sign in (state.weights > 0, state.weights < 0):
        outwards = _outwards(state.weights, sign)
        scores[outwards[: int(fraction * len(outwards))]] = -np.inf
    return scores


def magnitude(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score by |w| (Han et al. 2015; Evci et al. 2020, "Drop criterion")."""
    return np.abs(state.weights).astype(np.float64)


def square(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score by w^2, whose mean ranks blocks by their L2 norm."""
    return np.square(state.weights, dtype=np.float64)


def sensitivity(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score by |w dL/dw|: to first order, what the loss L changes by without the connection (Lee et al. 2019, SNIP)."""
    scores: NDArray[np.float64] = np.abs(state.weights * state.gradient_at(state.indices)).astype(np.float64)
    return scores


def at_random(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score by a uniform random number, one for all connections of a block."""
    if state.height == 1:
        return rng.random(len(state.weights))
    blocks, block_of = np.unique(state.blocks, return_inverse=True)
    scores: NDArray[np.float64] = rng.random(len(blocks))[block_of]
    return scores


CRITERIA: dict[str, Criterion] = {
    "halves": halves,
    "code": shares,
    "magnitude": magnitude,
    "l2": square,
    "sensitivity": sensitivity,
    "random": at_random,
}

USING_GRADIENT = ("sensitivity",)


def _outwards(weights: NDArray[np.float32], included: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the positions of the included weights from zero outwards, equal ones in their order."""
    positions: NDArray[np.int64] = np.flatnonzero(included)
    magnitudes = np.abs(weights[positions])
    order = np.argsort(magnitudes)  # several times as fast as a stable sort, which only equal ones need
    if (np.diff(magnitudes[order]) == 0).any():
        order = np.argsort(magnitudes, kind="stable")
    return positions[order]
