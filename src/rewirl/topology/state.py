"""A layer as rules and events see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LayerState:
    """One sparse layer at the moment of a rewiring event.

    Args:
        shape: (n_out, n_in).
        indices: of the connections in the layer's weight matrix, row * n_in + column, int64 [connections], distinct.
        weights: of the connections, float32 [connections], in the same order.
        compute_gradient: returns the gradient of the loss for every weight of the matrix, connection or not, float32
            [n_out, n_in]; None where no rule asks for it.
        height: how many neighbouring outputs share their inputs; 1 where the layer has no blocks.
        name: of the network and the layer, such as critic1.hidden1; the same at every event.
        of_input: whether its inputs are those of the network.
        of_output: whether its outputs are those of the network.
        frozen: which connections are neither dropped nor counted among those of which a fraction is, bool
            [connections]; None for none.

    Raises:
        ValueError: indices and weights are not two vectors of the same length.
    """

    shape: tuple[int, int]
    indices: NDArray[np.int64]
    weights: NDArray[np.float32]
    compute_gradient: Callable[[], NDArray[np.float32]] | None = None
    height: int = 1
    name: str = ""
    of_input: bool = False
    of_output: bool = False
    frozen: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Check that every connection has an index and a weight."""
        if self.indices.ndim != 1 or self.indices.shape != self.weights.shape:
            raise ValueError(
                "indices and weights of a layer must be vectors of one length, "
                f"got {self.indices.shape} and {self.weights.shape}"
            )

    @property
    def total(self) -> int:
        """Size of the weight matrix, n_out * n_in; indices are below it."""
        return self.shape[0] * self.shape[1]

    @property
    def blocks(self) -> NDArray[np.int64]:
        """The number of the block of each connection, group * n_in + column, int64 [connections]."""
        n_in = self.shape[1]
        return self.indices // n_in // self.height * n_in + self.indices % n_in

    @property
    def places(self) -> NDArray[np.int64]:
        """The indices, by the name they had in version 0.1, for rules written then."""
        return self.indices

    def dense_gradient(self) -> NDArray[np.float32]:
        """Return the gradient of the loss for every weight of the matrix, connection or not, float32 [n_out, n_in].

        It is that of the batch and the weights of the update that the event follows, before its step. Every call
        computes it anew, so the caller may change it.

        Raises:
            ValueError: there is none: the rule does not say that it uses gradients, or no event made the state.
            FloatingPointError: a number of it is NaN: training has diverged.
        """
        if self.compute_gradient is None:
            raise ValueError(
                "there is no gradient: a rule that asks for it must have uses_gradient = True, and a LayerState made "
                "by hand compute_gradient, a function that returns it"
            )
        gradient = self.compute_gradient()
        if np.isnan(gradient).any():
            raise FloatingPointError(f"the gradient of a layer of shape {self.shape} is not finite")
        return gradient

    def gradient_at(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the gradient of the loss for the weights at these indices, float32 [indices]."""
        gradient: NDArray[np.float32] = self.dense_gradient().reshape(-1)[indices]
        return gradient
