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
    goes on. What is frozen has no rank.

    Returns:
        2 * rank from zero for positive, 2 * rank + 1 for negative weights, -1 for zeros and what is frozen.
    """
    scores = np.full(len(state.weights), -1.0)
    for remainder, sign in enumerate(_signs(state)):
        outwards = _outwards(state.weights, sign)
        scores[outwards] = 2.0 * np.arange(len(outwards)) + remainder
    return scores


def shares(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score for the drop of their published code: the fraction of the positive and of the negative weights, and zeros.

    Each share is of what is not frozen, rounded down. (The code itself compares with a threshold, which drops up to
    one more of each sign.)

    Returns:
        -inf for what is dropped, +inf for what stays.
    """
    scores = np.where(state.weights == 0, -np.inf, np.inf)
    for sign in _signs(state):
        outwards = _outwards(state.weights, sign)
        scores[outwards[: int(fraction * len(outwards))]] = -np.inf
    return scores


def magnitude(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score by |w| (Han et al. 2015; Evci et al. 2020, "Drop criterion")."""
    return np.abs(state.weights).astype(np.float64)


def relative(state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Score by |w| sqrt(n) / ||w_unit||, with n the inputs of the unit: |w| over the root mean square of its weights.

    With weights of unit norm that is |w| sqrt(n). A norm behind a unit undoes its scale, so |w| compares connections of
    one unit only. The strongest connection of each unit, or the strongest block of each group of units, stays: a unit
    without inputs says nothing.

    Returns:
        The scores, +inf for what stays; 0 for units of zeros alone.
    """
    n_in = state.shape[1]
    magnitudes = np.abs(state.weights).astype(np.float64)
    units = state.indices // n_in
    squares = np.bincount(units, magnitudes**2, state.shape[0])
    inverse = np.sqrt(np.bincount(units, minlength=state.shape[0]) / np.where(squares > 0, squares, 1.0))
    scores = magnitudes * inverse[units]
    groups, blocks = units // state.height, state.blocks
    _, block_of = np.unique(blocks, return_inverse=True)
    of_blocks = np.bincount(block_of, scores)[block_of]
    strongest = np.lexsort((-np.arange(len(scores)), of_blocks, groups))  # of equal ones the first in the layer
    last = np.flatnonzero(np.diff(groups[strongest], append=-1))
    stays = np.isin(block_of, block_of[strongest[last]])
    result: NDArray[np.float64] = np.where(stays, np.inf, scores)
    return result


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
    "relative": relative,
    "l2": square,
    "sensitivity": sensitivity,
    "random": at_random,
}

USING_GRADIENT = ("sensitivity",)


def _signs(state: LayerState) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where weights are positive and where they are negative, neither where they are frozen."""
    free = np.True_ if state.frozen is None else ~state.frozen
    return (state.weights > 0) & free, (state.weights < 0) & free


def _outwards(weights: NDArray[np.float32], included: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the positions of the included weights from zero outwards, equal ones in their order."""
    positions: NDArray[np.int64] = np.flatnonzero(included)
    magnitudes = np.abs(weights[positions])
    order = np.argsort(magnitudes)  # several times as fast as a stable sort, which only equal ones need
    if (np.diff(magnitudes[order]) == 0).any():
        order = np.argsort(magnitudes, kind="stable")
    return positions[order]
