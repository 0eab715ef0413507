"""Blocks: several neighbouring outputs have the same inputs, so that an input is loaded once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.indices import distinct, random_indices

HEIGHTS = (4, 8)
"""How many outputs a block may have."""


@dataclass(frozen=True)
class Part:
    """Rows of a weight matrix that blocks of one size divide: a matrix of blocks.

    A block has a number, group * n_in + column, just as a connection has an index.

    Args:
        first: the first row.
        groups: how many blocks lie one below the other, the rows of the matrix of blocks.
        height: outputs of a block.
        n_in: inputs of the layer.
    """

    first: int
    groups: int
    height: int
    n_in: int

    @property
    def shape(self) -> tuple[int, int]:
        """Of the matrix of blocks, (groups, n_in)."""
        return self.groups, self.n_in

    @property
    def total(self) -> int:
        """How many blocks there can be; their numbers are below it."""
        return self.groups * self.n_in

    def numbers(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the blocks whose first connection is among these.

        Args:
            indices: of connections of the layer, int64 [connections], sorted.

        Returns:
            Numbers of blocks, int64 [blocks], sorted.
        """
        rows = indices // self.n_in - self.first
        leads = (rows >= 0) & (rows < self.groups * self.height) & (rows % self.height == 0)
        numbers: NDArray[np.int64] = rows[leads] // self.height * self.n_in + indices[leads] % self.n_in
        return numbers

    def indices(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the connections of blocks, from the first output to the last.

        Args:
            numbers: of the blocks, int64 [blocks].

        Returns:
            Indices in the layer, int64 [blocks, height].
        """
        top = (self.first + numbers // self.n_in * self.height) * self.n_in + numbers % self.n_in
        return top[:, np.newaxis] + np.arange(self.height, dtype=np.int64) * self.n_in

    def mean(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean over each block, connections or not, float32 [groups, n_in].

        Args:
            matrix: a number for each weight of the layer, float32 [n_out, n_in].
        """
        rows = matrix[self.first : self.first + self.groups * self.height]
        means: NDArray[np.float32] = rows.reshape(self.groups, self.height, self.n_in).mean(axis=1)
        return means


@dataclass(frozen=True)
class Blocks:
    """The smallest unit of a topology is `height` neighbouring outputs that share one input.

    Outputs are grouped from the first on. If the height does not divide them, the last group is smaller. A layer with
    fewer outputs than the height has no blocks: it is unstructured.

    Args:
        height: outputs of a block.
    """

    height: int

    def height_in(self, shape: tuple[int, int]) -> int:
        """Return the outputs of a block in a layer of this shape, (n_out, n_in); 1 where it is unstructured."""
        return self.height if shape[0] >= self.height else 1

    def parts(self, shape: tuple[int, int]) -> list[Part]:
        """Return the matrices of equal blocks of a layer: of the full groups, and of the smaller last one if any.

        Args:
            shape: (n_out, n_in).
        """
        n_out, n_in = shape
        groups, rest = divmod(n_out, self.height)
        last = [Part(groups * self.height, 1, rest, n_in)] if rest else []
        return [Part(0, groups, self.height, n_in), *last]

    def draw(self, shape: tuple[int, int], density: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw a random topology of blocks; the number of its connections is the nearest to that of the density.

        The last group is as dense as the others, but for rounding. Every choice of so many blocks is equally likely.

        Args:
            shape: (n_out, n_in).
            density: of the layer.
            rng: the random stream.

        Returns:
            Indices, int64 [connections], sorted.
        """
        if self.height_in(shape) == 1:
            return random_indices(shape, density, rng)
        parts = self.parts(shape)
        counts = shares(parts, [part.total for part in parts], density * shape[0] * shape[1])
        drawn = [
            part.indices(distinct(rng, count, part.total)).reshape(-1)
            for part, count in zip(parts, counts, strict=True)
        ]
        return np.sort(np.concatenate(drawn))

    def whole(self, shape: tuple[int, int], indices: NDArray[np.int64]) -> bool:
        """Tell whether connections are those of whole blocks.

        Args:
            shape: (n_out, n_in).
            indices: of the connections, int64 [connections], sorted.
        """
        if self.height_in(shape) == 1:
            return True
        members = [part.indices(part.numbers(indices)).reshape(-1) for part in self.parts(shape)]
        return bool(np.array_equal(np.sort(np.concatenate(members)), indices))

    def kept(self, shape: tuple[int, int], before: NDArray[np.int64], after: NDArray[np.int64]) -> bool:
        """Tell whether events can have made a topology of another one: it consists of whole blocks.

        Args:
            shape: (n_out, n_in).
            before: indices of the connections, int64 [connections], in any order.
            after: the same.
        """
        return self.whole(shape, np.sort(after))


def shares(parts: Sequence[Part], free: Sequence[int], connections: float) -> list[int]:
    """Return how many blocks of each part have together the number of connections nearest to this one.

    Args:
        parts: the full groups, then the last one if any.
        free: how many blocks of each part there are to choose from; each gets its share in proportion.
        connections: how many there should be, no more than the free blocks have.
    """
    total = sum(count * part.height for count, part in zip(free, parts, strict=True))
    last = [round(connections * count / total) for count in free[1:]] if total else [0] * (len(parts) - 1)
    rest = connections - sum(count * part.height for count, part in zip(last, parts[1:], strict=True))
    return [min(max(round(rest / parts[0].height), 0), free[0]), *last]
