"""Uniform random sets of places, in memory that grows with the connections and never with n_out * n_in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def random_topology(
    shapes: Sequence[tuple[int, int]], densities: Sequence[float], rng: np.random.Generator
) -> list[NDArray[np.int64] | None]:
    """Draw the first topology of a network (Sokar et al. 2022, section 4, "Sparse topology initialization").

    Args:
        shapes: (n_out, n_in) of every layer.
        densities: density of every layer, from `rewirl.topology.densities`.
        rng: the stream it draws from, one layer after the other.

    Returns:
        Per layer its places, int64 [connections], sorted; None for a dense layer.

    Raises:
        ValueError: by chance a layer got no connection at all (only ever in a layer of a few places).
    """
    topology: list[NDArray[np.int64] | None] = []
    for number, (shape, density) in enumerate(zip(shapes, densities, strict=True), start=1):
        places = None if density >= 1 else random_places(shape, density, rng)
        if places is not None and not len(places):
            raise ValueError(
                f"layer {number}, {shape[0]} x {shape[1]} at density {density:.4g}, got no connection at all; "
                "use a lower sparsity (a larger lambda), wider layers or another seed"
            )
        topology.append(places)
    return topology


def random_places(shape: tuple[int, int], density: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw places of one layer, each of which exists with probability `density`, independently of the others.

    Drawn as a binomial number of places and then a uniform set of so many, which has the same distribution.

    Args:
        shape: (n_out, n_in).
        density: in [0, 1].
        rng: the stream it draws from.

    Returns:
        Places, int64 [connections], sorted.

    Raises:
        ValueError: density out of range.
    """
    if not 0 <= density <= 1:
        raise ValueError(f"density must be between 0 and 1, got {density} for a layer of shape {shape}")
    total = shape[0] * shape[1]
    return distinct(rng, int(rng.binomial(total, density)), total)


def random_empty_places(
    occupied: NDArray[np.int64], total: int, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `count` distinct places that are not occupied; every set of so many is equally likely.

    Args:
        occupied: the places that exist, int64 [connections], sorted and distinct.
        total: places of the layer, n_out * n_in.
        count: how many to draw.
        rng: the stream it draws from.

    Returns:
        Places, int64 [count], sorted.

    Raises:
        ValueError: fewer than `count` places are empty.
    """
    # Number the empty places 0, 1, 2 ... in order. Before occupied[i] lie occupied[i] - i of them, so the empty place
    # of rank r comes after as many occupied ones as have that number at most r.
    ranks = distinct(rng, count, total - len(occupied))
    empties_before = occupied - np.arange(len(occupied), dtype=np.int64)
    return ranks + np.searchsorted(empties_before, ranks, side="right")


def distinct(rng: np.random.Generator, count: int, total: int) -> NDArray[np.int64]:
    """Draw a set of `count` distinct integers below `total`; every set of so many is equally likely.

    `Generator.choice` would do, but for more than a fiftieth of `total` it builds an array of all of them.

    Args:
        rng: the stream it draws from.
        count: how many, from 0 to `total`.
        total: the integers are 0, 1 ... total - 1.

    Returns:
        int64 [count], sorted.

    Raises:
        ValueError: count is negative or more than total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"cannot draw {count} distinct places out of {total}")
    if count > total // 2:  # the absent ones are fewer, and an array of all is at most twice the answer
        present = np.ones(total, dtype=np.bool_)
        present[distinct(rng, total - count, total)] = False
        return np.flatnonzero(present).astype(np.int64, copy=False)
    # Independent draws until `count` different ones have come up. Never more than are missing at a time: none is ever
    # discarded for being too many, which would favour some sets.
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        more = rng.integers(total, size=count - len(drawn), dtype=np.int64)
        drawn = np.sort(np.concatenate([drawn, more]))
        drawn = drawn[np.diff(drawn, prepend=-1) > 0]
    return drawn


def lowest(scores: NDArray[np.floating[Any]], count: int) -> NDArray[np.int64]:
    """Return the indices of the `count` lowest scores, at least 1, in any order; of equal ones the first."""
    limit = np.partition(scores, count - 1)[count - 1]
    below = np.flatnonzero(scores < limit)
    equal = np.flatnonzero(scores == limit)[: count - len(below)]
    return np.concatenate([below, equal])
