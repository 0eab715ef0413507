"""Sets of indices of a weight matrix: random ones, and those of the lowest scores.

An index is row * n_in + column, row being the output unit and column the input unit. Drawing takes memory for the
indices drawn, never for all n_out * n_in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def random_indices(shape: tuple[int, int], density: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the connections of one layer, each with probability `density`, independently of the others.

    Draws their number from a binomial distribution and then a uniform set of that many, which is the same.

    Args:
        shape: (n_out, n_in).
        density: in [0, 1].
        rng: the random stream.

    Returns:
        Indices, int64 [connections], sorted.

    Raises:
        ValueError: density out of range.
    """
    if not 0 <= density <= 1:
        raise ValueError(f"density must be between 0 and 1, got {density} for a layer of shape {shape}")
    total = shape[0] * shape[1]
    return distinct(rng, int(rng.binomial(total, density)), total)


def random_free_indices(
    occupied: NDArray[np.int64], total: int, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `count` distinct indices that are not occupied; every set of that many is equally likely.

    Args:
        occupied: indices not to be drawn, int64, sorted and distinct.
        total: size of the weight matrix, n_out * n_in.
        count: how many to draw.
        rng: the random stream.

    Returns:
        Indices, int64 [count], sorted.

    Raises:
        ValueError: fewer than `count` indices are free.
    """
    # Number the free indices 0, 1, 2 ... in order. Before occupied[i] lie occupied[i] - i of them, so the free index of
    # rank r comes after all occupied ones for which that number is at most r.
    ranks = distinct(rng, count, total - len(occupied))
    free_before = occupied - np.arange(len(occupied), dtype=np.int64)
    return ranks + np.searchsorted(free_before, ranks, side="right")


def distinct(rng: np.random.Generator, count: int, total: int) -> NDArray[np.int64]:
    """Draw a set of `count` distinct integers below `total`; every set of that many is equally likely.

    `Generator.choice` would do, but for more than a fiftieth of `total` it builds an array of all of them.

    Args:
        rng: the random stream.
        count: how many, from 0 to `total`.
        total: the integers are 0, 1 ... total - 1.

    Returns:
        int64 [count], sorted.

    Raises:
        ValueError: count is negative or more than total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"cannot draw {count} distinct indices out of {total}")
    if count > total // 2:  # those left out are fewer, and an array of all is at most twice the answer
        present = np.ones(total, dtype=np.bool_)
        present[distinct(rng, total - count, total)] = False
        return np.flatnonzero(present).astype(np.int64, copy=False)
    # Independent draws until `count` different ones have come up. Never more than are missing at a time: none is ever
    # discarded for being too many, which would favour some sets.
    if count > total // 16:  # a byte for each of all is at most twice the answer, and quicker than to sort
        present, missing = np.zeros(total, dtype=np.bool_), count
        while missing:
            present[rng.integers(total, size=missing, dtype=np.int64)] = True
            missing = count - int(np.count_nonzero(present))
        return np.flatnonzero(present).astype(np.int64, copy=False)
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        more = rng.integers(total, size=count - len(drawn), dtype=np.int64)
        drawn = np.sort(np.concatenate([drawn, more]))
        drawn = drawn[np.diff(drawn, prepend=-1) > 0]
    return drawn


def lowest(scores: NDArray[np.floating[Any]], count: int) -> NDArray[np.int64]:
    """Return the positions of the `count` lowest scores, in any order; of equal ones the first.

    Args:
        scores: float [n], none NaN.
        count: from 0 to n.

    Returns:
        int64 [count].
    """
    if count == 0:
        return np.empty(0, dtype=np.int64)
    limit = np.partition(scores, count - 1)[count - 1]
    below = np.flatnonzero(scores < limit)
    equal = np.flatnonzero(scores == limit)[: count - len(below)]
    return np.concatenate([below, equal])
