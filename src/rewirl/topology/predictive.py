"""A first layer chosen from data: each unit has inputs that predict the same feature (Modayil and Abbas 2023)."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.blocks import Blocks, Part
from rewirl.topology.structure import Structure

_ROWS_AT_A_TIME = 4096
_CHANCE = 1e-3


def predictability(now: NDArray[np.float32], later: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how well each feature predicts each feature one step later.

    |corr(x_i(t), x_j(t + 1))|, or 0 where that is no larger than sqrt(2 ln(1000 m) / n), with m pairs of features and n
    steps. With noise that does not know its past, not even the largest of all m gets there, but for a chance of less
    than a thousandth. It is 0 for constant features too.

    Args:
        now: float32 [steps, features].
        later: one step later, float32 [steps, later features].

    Returns:
        float64 [features, later features], each in [0, 1].
    """
    steps, pairs = len(now), now.shape[1] * later.shape[1]
    centres = [each.mean(axis=0, dtype=np.float64) for each in (now, later)]
    products = np.zeros((now.shape[1], later.shape[1]))
    squares = [np.zeros(now.shape[1]), np.zeros(later.shape[1])]
    for begin in range(0, steps, _ROWS_AT_A_TIME):
        x, y = (
            np.ascontiguousarray((each[begin : begin + _ROWS_AT_A_TIME] - centre).T)
            for each, centre in zip((now, later), centres, strict=True)
        )
        products += np.einsum("it,jt->ij", x, y)  # without BLAS, whose results depend on how many threads it has
        for total, part in zip(squares, (x, y), strict=True):
            total += np.einsum("it,it->i", part, part)
    constant = [each.min(axis=0) == each.max(axis=0) for each in (now, later)]
    scales = [np.where(still, np.inf, np.sqrt(square)) for still, square in zip(constant, squares, strict=True)]
    correlations: NDArray[np.float64] = np.abs(products) / scales[0][:, np.newaxis] / scales[1]
    correlations[correlations <= sqrt(2 * log(pairs / _CHANCE) / steps)] = 0
    return correlations


def predictive_topology(
    shape: tuple[int, int],
    indices: NDArray[np.int64],
    predicts: NDArray[np.float64],
    rng: np.random.Generator,
    structure: Structure | None = None,
) -> NDArray[np.int64]:
    """Choose the connections of a first layer, as many as it has.

    A unit takes a seed, a random feature among those that can be predicted, and then the inputs that predict it best.
    Once these are used up it takes, at random, others that predict something or can be predicted. A unit has as many
    inputs as before, but for those that have more than there are such features: what is too much goes to the units with
    the fewest. Only where the whole layer has more connections than places at such features, every unit keeps its
    number, and takes the rest from the other features at random.

    Args:
        shape: (n_out, n_in).
        indices: of the connections that the layer has, int64 [connections], sorted.
        predicts: of every input and every feature one step later, float64 [n_in, features]; the first inputs are these
            features.
        rng: the random stream.
        structure: how connections are arranged; a unit is a block's group of outputs. None for unstructured.

    Returns:
        int64 [connections], sorted; as they were where nothing predicts anything.
    """
    n_in = shape[1]
    if not predicts.any():
        return indices
    blocks = structure if isinstance(structure, Blocks) and structure.height_in(shape) > 1 else None
    parts = blocks.parts(shape) if blocks else [Part(0, shape[0], 1, n_in)]
    seeds = np.flatnonzero(predicts.any(axis=0))
    useful: NDArray[np.bool_] = np.asarray(predicts.any(axis=1))
    useful[seeds] = True
    chosen = []
    for part in parts:
        numbers = part.numbers(indices)
        counts = _evened(np.bincount(numbers // n_in, minlength=part.groups), int(useful.sum()))
        for unit, count in enumerate(counts):
            seed = int(seeds[rng.integers(len(seeds))])
            ranks = np.where(useful, predicts[:, seed], -1.0)
            ranks[seed] = 2
            best_first = np.lexsort((rng.random(n_in), -ranks))
            chosen.append(part.indices(unit * n_in + best_first[:count]).reshape(-1))
    return np.sort(np.concatenate(chosen))


def _evened(counts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return how many inputs units have, none more than `most` if they have no more together; int64 [units]."""
    if counts.sum() > most * len(counts):
        return counts
    counts, surplus = np.minimum(counts, most), int(np.maximum(counts - most, 0).sum())
    for _ in range(surplus):
        counts[np.argmin(counts)] += 1
    return counts
