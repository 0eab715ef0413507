"""Criteria to grow by: indices where new connections grow, or a score for each weight of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.indices import lowest, random_free_indices
from rewirl.topology.state import LayerState

Criterion = Callable[[LayerState, NDArray[np.int64], int, np.random.Generator], NDArray[np.int64]]
"""From the layer, the occupied indices, a count and a random stream to that many distinct free indices, int64."""

Score = Callable[[LayerState, np.random.Generator], NDArray[np.floating[Any]]]
"""From the layer and a random stream to a score for each weight of the matrix, float [n_out, n_in]."""


def at_random(
    state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose uniformly among all sets of `count` free indices (Mocanu et al. 2018)."""
    return random_free_indices(occupied, state.total, count, rng)


def by_gradient(
    state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose the free indices of the largest |dL/dw|, of equal ones the lower (Evci et al. 2020, "Grow criterion")."""
    scores = -np.abs(state.dense_gradient().reshape(-1))
    scores[occupied] = np.inf
    return lowest(scores, count)


def random_score(state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Score by a uniform random number, float64 [n_out, n_in]."""
    return rng.random(state.shape)


def gradient_score(state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Score by |dL/dw|, float32 [n_out, n_in]."""
    score: NDArray[np.floating[Any]] = np.abs(state.dense_gradient())
    return score


CRITERIA: dict[str, Criterion] = {"random": at_random, "gradient": by_gradient}

SCORES: dict[str, Score] = {"random": random_score, "gradient": gradient_score}

USING_GRADIENT = ("gradient",)
