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
        places: the connections, int64 [connections], row * n_in + column, distinct, in any order.
        weights: the weight of each, float32 [connections], in the same order.
        compute_gradient: returns the gradient of the loss for every place, connection or not, float32 [n_out, n_in];
            None where no rule asks for it.

    Raises:
        ValueError: places and weights are not two vectors of the same length.
    """

    shape: tuple[int, int]
    places: NDArray[np.int64]
    weights: NDArray[np.float32]
    compute_gradient: Callable[[], NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        """Refuse vectors that do not belong together."""
        if self.places.ndim != 1 or self.places.shape != self.weights.shape:
            raise ValueError(
                "places and weights of a layer must be vectors of one length, "
                f"got {self.places.shape} and {self.weights.shape}"
            )

    @property
    def total(self) -> int:
        """Number of places, existing or not: n_out * n_in."""
        return self.shape[0] * self.shape[1]

    def dense_gradient(self) -> NDArray[np.float32]:
        """Return the gradient of the loss for every place, connection or not, float32 [n_out, n_in], to be changed.

        It is that of the batch and the weights of the update that the event follows, before its step, and is computed
        at every call.

        Raises:
            ValueError: the rule does not say that it uses gradients.
        """
        if self.compute_gradient is None:
            raise ValueError("there is no gradient: a rule that asks for it must have uses_gradient = True")
        return self.compute_gradient()

    def gradient_of_places(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the gradient of the loss for some places, float32 [places]."""
        gradient: NDArray[np.float32] = self.dense_gradient().reshape(-1)[places]
        return gradient
