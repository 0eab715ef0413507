"""Between an agent's actions, which are in [-1, 1], and an environment's own bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class ActionBounds:
    """The affine map from [-1, 1] to the bounds of each action dimension.

    Args:
        low: lower bounds, one per dimension, finite.
        high: upper bounds, one per dimension, finite and not below `low`.
        dtype: floating-point type of the environment's actions.

    Raises:
        ValueError: the bounds do not fit together.
    """

    def __init__(self, low: ArrayLike, high: ArrayLike, dtype: Any = np.float32) -> None:
        """See the class."""
        self.dtype = np.dtype(dtype)
        # Copies: the environment's own arrays may change.
        lower, upper = np.array(low, np.float64), np.array(high, np.float64)
        if lower.ndim != 1 or lower.shape != upper.shape or lower.size == 0:
            raise ValueError(f"action bounds must be two vectors of one length, got {lower.shape} and {upper.shape}")
        if not (np.isfinite(lower).all() and np.isfinite(upper).all() and (lower <= upper).all()):
            raise ValueError(f"action bounds must be finite and low <= high, got {lower.tolist()} and {upper.tolist()}")
        if self.dtype.kind != "f":
            raise ValueError(f"actions must be floating-point numbers, got {self.dtype}")
        self.low, self.high = lower, upper
        self._centre, self._half = upper / 2 + lower / 2, upper / 2 - lower / 2
        self._limits = {kind: self._rounded_inward(kind) for kind in {self.dtype, _FLOAT32}}
        self._own_limits = self._limits[self.dtype]

    @property
    def size(self) -> int:
        """Number of action dimensions."""
        return int(self.low.size)

    def to_environment(self, actions: NDArray[np.float32]) -> NDArray[Any]:
        """Map actions from [-1, 1] to the bounds, in the environment's own type.

        Args:
            actions: float32 [..., size], in [-1, 1].

        Returns:
            A new array of the same shape, never outside the bounds, whatever the rounding.
        """
        return self._map(actions, self.dtype, self._own_limits)

    def to_float32(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map actions from [-1, 1] to the bounds, in float32 whatever the environment's own type.

        Args:
            actions: float32 [..., size], in [-1, 1].

        Returns:
            A new float32 array of the same shape, never outside the bounds, whatever the rounding.
        """
        return self._map(actions, _FLOAT32, self._limits[_FLOAT32])

    def _map(
        self, actions: NDArray[np.float32], kind: np.dtype[Any], limits: tuple[NDArray[Any], NDArray[Any]]
    ) -> NDArray[Any]:
        exact = actions * self._half
        exact += self._centre
        mapped: NDArray[Any] = exact if kind is _FLOAT64 else exact.astype(kind)
        np.maximum(mapped, limits[0], out=mapped)
        np.minimum(mapped, limits[1], out=mapped)
        return mapped

    def _rounded_inward(self, kind: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        low, high = self.low.astype(kind), self.high.astype(kind)
        low = np.where(low < self.low, np.nextafter(low, kind.type(np.inf)), low)
        high = np.where(high > self.high, np.nextafter(high, kind.type(-np.inf)), high)
        return low, high

    def values(self) -> dict[str, Any]:
        """Return the bounds as JSON values."""
        return {"low": self.low.tolist(), "high": self.high.tolist(), "dtype": self.dtype.name}
