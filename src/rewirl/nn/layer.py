"""A layer: the view of a linear operation of a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rewirl import _core

T = TypeVar("T")

Places = NDArray[np.int64] | None
"""The places of a layer's connections, row * n_in + column; None is a dense layer."""


def of_one_moment(core: _core.Network, read: Callable[[], T]) -> T:
    """Return what is read of a network between two of its changes, which another thread may make meanwhile.

    Args:
        core: the network.
        read: reads it, and returns copies.

    Raises:
        RuntimeError: another thread changes it without a pause.
    """
    for _ in range(10_000):
        before = core.changes
        with contextlib.suppress(IndexError):  # places and values of two topologies
            found = read()
            if before == core.changes:
                return found
    raise RuntimeError("another thread changes the network without a pause, so it cannot be read")


class Layer:
    """A view of one linear operation of a network.

    Arrays are views of the network's own memory; a rewiring replaces them, so do not keep them across one.
    """

    def __init__(self, core: _core.Network, name: str, shape: tuple[int, int]) -> None:
        self._core = core
        self.name = name
        """Of the operation."""
        self.shape = shape
        """(n_out, n_in)."""

    @property
    def dense(self) -> bool:
        """Whether every place is a connection, and none has an index."""
        return self._core.dense(self.name)

    @property
    def format(self) -> str:
        """How the weights are stored: dense, unstructured, blocks, or a format of a user."""
        return self._core.format(self.name)

    @property
    def height(self) -> int:
        """Outputs of a block, where connections come and go in blocks; else 1."""
        return self._core.height(self.name)

    @property
    def connections(self) -> int:
        """Number of connections."""
        return self._core.connections(self.name)

    @property
    def density(self) -> float:
        """Connections divided by places."""
        return self.connections / (self.shape[0] * self.shape[1])

    def places(self) -> NDArray[np.int64]:
        """Return the place of every connection, int64 [connections], in the order of `values`."""
        return self._core.places(self.name)

    @property
    def values(self) -> NDArray[np.float32]:
        """The weight of every connection, float32 [connections], read only; `set_values` writes them."""
        return self._core.values(self.name, "values")

    def connected(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which of the layer's values are weights of connections: all, whatever they are."""
        return np.ones(len(values), dtype=np.bool_)

    def set_values(self, values: NDArray[np.float32]) -> None:
        """Give every connection a weight.

        Args:
            values: float32 [connections], in the order of `places`.

        Raises:
            ValueError: their number is not that of the connections.
        """
        self._core.set_values(self.name, "values", values)

    @property
    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Adam's first and second moment of every connection, float32 [connections] each."""
        return self._core.first_moment(self.name, "values"), self._core.second_moment(self.name, "values")

    @property
    def born(self) -> NDArray[np.uint32]:
        """The step of Adam after which each connection began, uint32; empty where ages do not count."""
        return self._core.born(self.name, "values")

    @property
    def bias(self) -> NDArray[np.float32]:
        """The biases, float32 [n_out]; may be written to.

        Raises:
            ValueError: the operation has none.
        """
        return self._core.writable_values(self.name, "bias")

    @property
    def bias_moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Adam's first and second moment of the biases, float32 [n_out] each."""
        return self._core.first_moment(self.name, "bias"), self._core.second_moment(self.name, "bias")

    @property
    def bias_born(self) -> NDArray[np.uint32]:
        """The step of Adam after which each bias began, uint32; empty where ages do not count."""
        return self._core.born(self.name, "bias")

    def of_one_moment(self, read: Callable[[], T]) -> T:
        """Return what is read of the layer between two changes of its network; `read` returns copies.

        Raises:
            RuntimeError: another thread changes the network without a pause.
        """
        return of_one_moment(self._core, read)

    def weights(self) -> NDArray[np.float32]:
        """Return the weight matrix as a dense array of its own, float32 [n_out, n_in]; for looking, not computing."""
        matrix = np.zeros(self.shape[0] * self.shape[1], dtype=np.float32)
        matrix[self.places()] = self.values
        return matrix.reshape(self.shape)
