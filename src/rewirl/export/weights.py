"""The weights of a layer as exported files have them: dense, or rows in groups that share their inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
"""float32, or int8 where each row has a scale."""

_LARGEST = 127
"""The largest magnitude of an int8 weight; -128 is not used, so that both signs are alike."""

DENSE_FROM = 0.75
"""The density from which on a dense layer takes fewer instructions than one with indices, and about the same bytes."""


@dataclass(frozen=True)
class Rows:
    """Neighbouring rows of a sparse matrix, in groups of `height` that have connections to the same inputs (CSR if 1).

    Args:
        first: the first row.
        height: rows of a group.
        ends: where the entries of each group end, int64 [groups].
        columns: the input of each entry, int64 [entries].
        values: float32 or int8 [entries, height].
    """

    first: int
    height: int
    ends: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: Values

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.ends)

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row and the column of every value, int64 [entries * height] each."""
        counts = np.diff(self.ends, prepend=0)
        tops = self.first + np.repeat(np.arange(self.groups), counts) * self.height
        return (tops[:, np.newaxis] + np.arange(self.height)).reshape(-1), np.repeat(self.columns, self.height)


@dataclass(frozen=True)
class Weights:
    """A weight matrix: dense, or sparse in `rows`.

    Args:
        shape: (n_out, n_in).
        dense: float32 or int8 [n_out, n_in], or None.
        rows: its sparse parts, from the first row to the last; empty where it is dense.
        scales: what the int8 weights of each row are multiplied by, float32 [n_out]; None with float32 weights.
    """

    shape: tuple[int, int]
    dense: Values | None
    rows: tuple[Rows, ...]
    scales: NDArray[np.float32] | None = None

    @property
    def products(self) -> int:
        """Multiplications, each with an addition, of one observation."""
        return sum(values.size for values in self._values())

    @property
    def bytes(self) -> int:
        """Memory of all arrays, indices in the smallest types that hold them."""
        indices = sum(
            stored.nbytes
            for part in self.rows
            for stored in (smallest(part.ends, len(part.columns)), smallest(part.columns, self.shape[1] - 1))
        )
        scales = 0 if self.scales is None else self.scales.nbytes
        return int(indices + scales + sum(values.nbytes for values in self._values()))

    def stored(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Values]:
        """Return row, column and value of everything stored, [stored] each; scales are not applied."""
        if self.dense is not None:
            rows, columns = (place.reshape(-1) for place in np.indices(self.shape))
            return rows, columns, self.dense.reshape(-1)
        places = [part.places() for part in self.rows]
        rows, columns = (np.concatenate([place[axis] for place in places]) for axis in (0, 1))
        return rows, columns, np.concatenate([part.values.reshape(-1) for part in self.rows])

    def coordinates(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return row, column and weight of everything stored, [stored] each."""
        rows, columns, values = self.stored()
        weights = values.astype(np.float32)
        return rows, columns, weights if self.scales is None else weights * self.scales[rows]

    def _values(self) -> list[Values]:
        return [part.values for part in self.rows] if self.dense is None else [self.dense]


def smallest(array: NDArray[np.int64], limit: int) -> NDArray[Any]:
    """Return indices in the smallest unsigned type that holds `limit`."""
    return array.astype(np.min_scalar_type(limit))


def weights_of(
    shape: tuple[int, int],
    places: NDArray[np.int64],
    values: NDArray[np.float32],
    height: int,
    int8: bool,
    dense_from: float,
) -> Weights:
    """Return the weights of a layer: sparse, or dense where nearly every place is a connection.

    Args:
        shape: (n_out, n_in).
        places: of the connections, row * n_in + column, int64 [connections], in any order.
        values: of the connections, float32 [connections].
        height: rows of a block, 1 where there are none; the last rows may be fewer.
        int8: whether each row is stored as a scale and whole numbers from -127 to 127.
        dense_from: the density from which on it is dense.
    """
    n_out, n_in = shape
    rows, columns = np.divmod(places, n_in)
    stored: Values = values
    scales = None
    if int8:
        largest = np.zeros(n_out, np.float32)
        np.maximum.at(largest, rows, np.abs(values))
        scales = (largest / _LARGEST).astype(np.float32)
        divisor = np.where(scales > 0, scales, 1)[rows]
        stored = np.rint(np.clip(values / divisor, -_LARGEST, _LARGEST)).astype(np.int8)
    whole = n_out // height
    parts = [_rows(0, whole, height, rows, columns, stored)] if whole else []
    if n_out % height:
        parts.append(_rows(whole * height, 1, n_out % height, rows, columns, stored))
    sparse = Weights(shape, None, tuple(parts), scales)
    if len(places) < dense_from * n_out * n_in:
        return sparse
    dense = np.zeros(n_out * n_in, stored.dtype)
    dense[places] = stored
    return replace(sparse, dense=dense.reshape(shape), rows=())


def _rows(
    first: int,
    groups: int,
    height: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: Values,
) -> Rows:
    """Return the connections in groups * height rows from the first on."""
    inside = (rows >= first) & (rows < first + groups * height)
    group, member = np.divmod(rows[inside] - first, height)
    order = np.lexsort((member, columns[inside], group))
    leads = order[::height]
    ends = np.searchsorted(group[leads], np.arange(groups), side="right")
    return Rows(first, height, ends, columns[inside][leads], values[inside][order].reshape(-1, height))
