"""Structure: how the connections of a layer are arranged over the inputs of its units."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewirl.exact import make_exact

UNSTRUCTURED, CONSTANT_FAN_IN = "unstructured", "constant-fan-in"


@dataclass(frozen=True)
class StructureConfig:
    """How the connections of a layer are arranged over its units."""

    structure: str = UNSTRUCTURED
    """How connections are arranged: unstructured, constant-fan-in (all units of a layer have equally many inputs), or
    N:M such as 2:4 (N of every M neighbouring inputs, which fixes the sparsity too)."""

    ablate_below: float = 0.0
    """With constant fan-in: an event takes all inputs from a hidden unit that has fewer salient connections than this
    share of the fan-in, and gives them to the others (SRigL). A unit comes back when it has enough. Salient are the
    connections worth keeping or growing. 0 ablates none. Typical: 0 or 0.3."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly; check each option, and that ablation has the structure it needs."""
        make_exact(self, StructureConfig)
        Structure.from_name(self.structure)
        if not 0 <= self.ablate_below <= 1:
            raise ValueError(f"ablate_below must be between 0 (no ablation) and 1, got {self.ablate_below}")
        if self.ablate_below and self.structure != CONSTANT_FAN_IN:
            raise ValueError(f"ablate_below needs structure {CONSTANT_FAN_IN}")

    @property
    def spread(self) -> Structure | None:
        """The structure; None for unstructured."""
        return Structure.from_name(self.structure)


@dataclass(frozen=True)
class Structure:
    """Every unit has equally many connections from each group of neighbouring inputs.

    Args:
        group: inputs per group, the last of a unit may have fewer; None is one group of all inputs (constant fan-in).
        count: connections per group, for N:M; None where they follow from the density.
    """

    group: int | None = None
    count: int | None = None

    @classmethod
    def from_name(cls, name: str) -> Structure | None:
        """Return the structure of this name.

        Args:
            name: unstructured, constant-fan-in, or N:M such as 2:4, N connections from every M inputs.

        Returns:
            The structure; None for unstructured.

        Raises:
            ValueError: there is no such structure.
        """
        if name == UNSTRUCTURED:
            return None
        if name == CONSTANT_FAN_IN:
            return cls()
        match = re.fullmatch(r"(\d{1,6}):(\d{1,6})", name)
        if not match or not 1 <= int(match[1]) < int(match[2]):
            raise ValueError(
                f"structure must be {UNSTRUCTURED}, {CONSTANT_FAN_IN}, or N:M with 1 <= N < M such as 2:4, got {name!r}"
            )
        return cls(int(match[2]), int(match[1]))

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
        counts = np.array([self.per_group(shape[1], density)] * shape[0])
        return self.select(rng.random(shape), counts)

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

    def select(self, scores: NDArray[np.floating], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return in each group the indices of the lowest scores, of equal ones the first.

        Args:
            scores: of every weight of the matrix, float [n_out, n_in].
            counts: how many to select in each group, int64 [n_out, groups].

        Returns:
            Indices, int64 [sum of counts], sorted.
        """
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
