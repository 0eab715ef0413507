"""Constant fan-in and N:M: every unit has equally many connections from each group of neighbouring inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STRETCH = 2**17
"""Places of a matrix that are looked at at a time."""


@dataclass(frozen=True)
class FanIn:
    """Every unit has equally many connections from each group of neighbouring inputs.

    Args:
        group: inputs per group, the last of a unit may have fewer; None is one group of all inputs (constant fan-in).
        count: connections per group, for N:M; None where they follow from the density.
    """

    group: int | None = None
    count: int | None = None

    def groups(self, n_in: int) -> list[slice]:
        """Return the groups of inputs of a unit, as slices of [0, n_in)."""
        size = self.group or n_in
        return [slice(begin, min(begin + size, n_in)) for begin in range(0, n_in, size)]

    def per_group(self, n_in: int, density: float) -> list[int]:
        """Return how many connections a unit has from each of its groups, at least 1.

        A smaller group at the end has its share, rounded.

        Args:
            n_in: inputs of the unit.
            density: of the layer; N:M has its own.
        """
        share = density if self.count is None or self.group is None else self.count / self.group
        return [max(1, round(share * (group.stop - group.start))) for group in self.groups(n_in)]

    def draw(self, shape: tuple[int, int], density: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw a random topology of this structure, each with the same probability.

        Args:
            shape: (n_out, n_in).
            density: of the layer.
            rng: the random stream.

        Returns:
            Indices, int64 [connections], sorted.
        """
        counts, drawn = self.per_group(shape[1], density), []
        for rows in _stretches(shape):
            height = len(range(*rows.indices(shape[0])))
            drawn.append(
                rows.start * shape[1] + self.select(rng.random((height, shape[1])), np.array([counts] * height))
            )
        return np.concatenate(drawn)

    def counts(self, shape: tuple[int, int], indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many connections each group has, int64 [n_out, groups].

        Args:
            shape: (n_out, n_in).
            indices: of the connections, int64 [connections].
        """
        n_out, n_in = shape
        groups, size = len(self.groups(n_in)), self.group or n_in
        counts = np.bincount(indices // n_in * groups + indices % n_in // size, minlength=n_out * groups)
        return counts.reshape(n_out, groups).astype(np.int64)

    def kept(self, shape: tuple[int, int], before: NDArray[np.int64], after: NDArray[np.int64]) -> bool:
        """Tell whether events can have made a topology of another one: no group has gained or lost connections.

        Args:
            shape: (n_out, n_in).
            before: indices of the connections, int64 [connections], in any order.
            after: the same.
        """
        return bool(np.array_equal(self.counts(shape, after), self.counts(shape, before)))

    def select(self, scores: NDArray[np.floating], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return in each group the indices of the lowest scores, of equal ones the first.

        Args:
            scores: of every weight of the matrix, float [n_out, n_in].
            counts: how many to select in each group, int64 [n_out, groups].

        Returns:
            Indices, int64 [sum of counts], sorted.
        """
        each = [
            rows.start * scores.shape[1] + self._of_rows(scores[rows], counts[rows])
            for rows in _stretches(scores.shape)
        ]
        return np.concatenate(each)

    def _of_rows(self, scores: NDArray[np.floating], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        n_out, n_in = scores.shape
        size = self.group or n_in
        whole = n_in // size * size
        selected = np.zeros(scores.shape, dtype=np.bool_)
        if whole:
            groups = whole // size
            of_groups = scores[:, :whole].reshape(n_out * groups, size)
            selected[:, :whole] = _lowest_of_rows(of_groups, counts[:, :groups].reshape(-1)).reshape(n_out, whole)
        if whole < n_in:
            selected[:, whole:] = _lowest_of_rows(scores[:, whole:], counts[:, -1])
        return np.flatnonzero(selected).astype(np.int64, copy=False)


def _stretches(shape: tuple[int, ...]) -> list[slice]:
    """Return slices of a few rows each: what is computed for every place of them is small beside the matrix."""
    rows = max(1, _STRETCH // shape[1])
    return [slice(first, first + rows) for first in range(0, shape[0], rows)]


def _lowest_of_rows(scores: NDArray[np.floating], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where the lowest scores of each row are, of equal ones the first, bool [rows, columns].

    Args:
        scores: float [rows, columns].
        counts: how many in each row, int64 [rows].
    """
    most = int(counts.max(initial=0))
    if most == 0:
        return np.zeros(scores.shape, dtype=np.bool_)
    ascending = np.sort(np.partition(scores, most - 1, axis=1)[:, :most], axis=1)
    limit = ascending[np.arange(len(scores)), np.maximum(counts - 1, 0)][:, np.newaxis]
    below = (scores < limit) & (counts > 0)[:, np.newaxis]
    equal = scores == limit
    room = counts - below.sum(axis=1)
    selected: NDArray[np.bool_] = below | (equal & (np.cumsum(equal, axis=1) <= room[:, np.newaxis]))
    return selected
