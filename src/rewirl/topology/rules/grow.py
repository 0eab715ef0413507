"""Where an event grows connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.places import lowest, random_empty_places
from rewirl.topology.state import LayerState

Criterion = Callable[[LayerState, NDArray[np.int64], int, np.random.Generator], NDArray[np.int64]]
"""From the layer, the places not to be chosen, how many and a stream to that many distinct free places, int64."""


def at_random(
    state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose uniformly among all sets of `count` free places (Mocanu et al. 2018)."""
    return random_empty_places(occupied, state.total, count, rng)


def by_gradient(
    state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose the free places where the loss has the largest gradient; of equal ones the lower (Evci et al. 2020)."""
    scores = -np.abs(state.dense_gradient().reshape(-1))
    scores[occupied] = np.inf
    return lowest(scores, count)


def random_score(state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Score every place by a number drawn uniformly, float64 [n_out, n_in]."""
    return rng.random(state.shape)


def gradient_score(state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Score every place by the size of the gradient, float32 [n_out, n_in]."""
    score: NDArray[np.floating[Any]] = np.abs(state.dense_gradient())
    return score


CRITERIA: dict[str, Criterion] = {"random": at_random, "gradient": by_gradient}

SCORES: dict[str, Callable[[LayerState, np.random.Generator], NDArray[np.floating[Any]]]] = {
    "random": random_score,
    "gradient": gradient_score,
}

USING_GRADIENT = ("gradient",)
