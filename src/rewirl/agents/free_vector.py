"""Numbers that depend on no state, such as the standard deviations of a policy, learnt by Adam."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.saved import count, fields, saved_array


class FreeVector:
    """A vector of parameters, in float64.

    Args:
        values: that it begins with, [size].
    """

    def __init__(self, values: NDArray[np.floating[Any]]) -> None:
        self.values = np.array(values, np.float64)
        """float64 [size]."""
        self._first, self._second = np.zeros_like(self.values), np.zeros_like(self.values)
        self._steps = 0

    def adam(self, gradient: NDArray[np.float64], learning_rate: float, epsilon: float) -> None:
        """Take one step of Adam (Kingma and Ba 2015; beta1 0.9, beta2 0.999).

        Args:
            gradient: of a loss, float64 [size].
            learning_rate: step size.
            epsilon: what is added to the root of the second moments.
        """
        self._steps += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient**2
        size = np.sqrt(self._second) / sqrt(1 - 0.999**self._steps) + epsilon
        self.values = self.values - learning_rate / (1 - 0.9**self._steps) * self._first / size

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, as arrays and JSON values."""
        arrays = {"values": self.values, "m": self._first, "v": self._second}
        return {name: array.copy() for name, array in arrays.items()}, {"steps": self._steps}

    def restored(self, name: str, arrays: Mapping[str, NDArray[Any]], values: Any) -> FreeVector:
        """Return what `state` described, of the same size as this, which stays what it is.

        Args:
            name: what messages call it.
            arrays: as `state` returned them.
            values: the same.

        Raises:
            ValueError: an array or value is missing or impossible; the message names it.
        """
        parts = []
        for part in ("values", "m", "v"):
            of = f"the array {part} of the saved {name}"
            parts.append(saved_array(arrays, part, np.float64, self.values.shape, of).copy())
        if (parts[2] < 0).any():
            raise ValueError(f"the array v of the saved {name}, of means of squares, is negative")
        result = FreeVector(parts[0])
        _, result._first, result._second = parts
        result._steps = count(fields(values, f"the saved {name}").get("steps"), f"the steps of the saved {name}")
        return result
