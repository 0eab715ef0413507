"""Actions that are real numbers: between [-1, 1], where agents act, and an environment's own bounds."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewirl.environments.actions import Action
from rewirl.saved import count, number, shown

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_FLOATS = ("float16", "float32", "float64", "longdouble", np.dtype(np.longdouble).name)


class ActionBounds:
    """The affine map from [-1, 1] to the bounds of each action dimension; see `actions.Actions`.

    Args:
        low: lower bounds, one per dimension, finite; of an action of another shape than a vector in C order.
        high: upper bounds, one per dimension, finite and not below `low`.
        dtype: floating-point type of the environment's actions.
        shape: of an action; None is (dimensions,).

    Raises:
        ValueError: the bounds do not fit together.
    """

    kind: ClassVar[str] = "Box"
    expected = "finite numbers"

    def __init__(
        self, low: ArrayLike, high: ArrayLike, dtype: Any = np.float32, shape: tuple[int, ...] | None = None
    ) -> None:
        """Round the bounds inward to the types that actions are mapped to."""
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
        self.shape = lower.shape if shape is None else shape
        if prod(self.shape) != lower.size:
            raise ValueError(f"actions of shape {self.shape} do not have {lower.size} bounds")
        self._centre, self._half = upper / 2 + lower / 2, upper / 2 - lower / 2
        self._limits = {kind: self._rounded_inward(kind) for kind in {self.dtype, _FLOAT32}}
        self._own_limits = self._limits[self.dtype]

    @property
    def size(self) -> int:
        """Number of action dimensions."""
        return int(self.low.size)

    @property
    def recorded_shape(self) -> tuple[int, ...]:
        """Shape of an action as `to_environment` returns it: a vector."""
        return self.low.shape

    def valid(self, actions: Any) -> bool:
        """Tell whether all numbers of some actions are finite."""
        return bool(np.isfinite(actions).all())

    def row(self, action: Action) -> NDArray[np.float32]:
        """Return an action as the replay memory keeps it: a copy, as an agent may compute the next one in its place."""
        return np.array(action, np.float32)

    def random(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw an action, float32 [size], uniform in [-1, 1]."""
        return rng.uniform(-1.0, 1.0, self.size).astype(np.float32)

    def noisy(self, action: Action, noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Add N(0, noise) to an action and clip it to [-1, 1], float32 [size]."""
        clipped: NDArray[np.float32] = np.clip(action + rng.normal(0.0, noise, self.size), -1.0, 1.0).astype(np.float32)
        return clipped

    def to_environment(self, actions: Any) -> NDArray[Any]:
        """Map actions from [-1, 1] to the bounds, in the environment's own type.

        Args:
            actions: float32 [..., size], in [-1, 1].

        Returns:
            A new array of the same shape, never outside the bounds, whatever the rounding.
        """
        return self._map(actions, self.dtype, self._own_limits)

    def shaped(self, action: NDArray[Any]) -> NDArray[Any]:
        """Return what `step` of the environment takes: a copy of an action of `to_environment` in its own shape."""
        return np.array(action).reshape(self.shape)

    def to_user(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Map actions from [-1, 1] to the bounds, in float32 whatever the environment's own type.

        Args:
            actions: float32 [batch, size], in [-1, 1].

        Returns:
            A new array, float32 [batch, *shape], never outside the bounds, whatever the rounding.
        """
        return self._map(actions, _FLOAT32, self._limits[_FLOAT32]).reshape(len(actions), *self.shape)

    def contains(self, actions: NDArray[Any]) -> bool:
        """Tell whether all actions of `to_environment`, [count, size], are within the bounds; NaN is not."""
        return bool(((actions >= self.low) & (actions <= self.high)).all())

    def same_as(self, space: Any) -> bool:
        """Tell whether an environment's action space is still the one that these bounds were made from."""
        return getattr(space, "shape", None) == self.shape and (
            np.array_equal(getattr(space, "low", self.low[:0]).reshape(-1), self.low)
            and np.array_equal(getattr(space, "high", self.high[:0]).reshape(-1), self.high)
        )

    def values(self) -> dict[str, Any]:
        """Return the bounds as JSON values, with the shape where it is not that of a vector."""
        shape = {} if len(self.shape) == 1 else {"shape": list(self.shape)}
        return {"low": self.low.tolist(), "high": self.high.tolist(), "dtype": self.dtype.name, **shape}

    @classmethod
    def from_values(cls, saved: Mapping[str, Any]) -> ActionBounds:
        """Return the bounds that `values` described.

        Raises:
            KeyError: a value is missing.
            ValueError: a value is impossible; the message names it.
        """
        low, high = (
            [number(value, f"a bound of {name}") for value in _listed(saved, name)] for name in ("low", "high")
        )
        kind = saved["dtype"]
        if kind not in _FLOATS:  # NumPy takes more for a type than these words, and not every word it takes is harmless
            raise ValueError(f"the dtype of actions is {shown(kind)}; it must be one of {', '.join(_FLOATS)}")
        shape = None
        if "shape" in saved:
            shape = tuple(count(length, "the shape of actions") for length in _listed(saved, "shape"))
        return cls(low, high, kind, shape)

    def __str__(self) -> str:
        """Say what the bounds are, for a message."""
        return f"actions of shape {self.shape} in [{self.low.tolist()}, {self.high.tolist()}]"

    def _map(
        self, actions: NDArray[np.float32], kind: np.dtype[Any], limits: tuple[NDArray[Any], NDArray[Any]]
    ) -> NDArray[Any]:
        exact = actions * self._half
        exact += self._centre
        with np.errstate(over="ignore"):  # what is too large for the type is at its limits
            mapped: NDArray[Any] = exact if kind is _FLOAT64 else exact.astype(kind)
        np.maximum(mapped, limits[0], out=mapped)
        np.minimum(mapped, limits[1], out=mapped)
        return mapped

    def _rounded_inward(self, kind: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        with np.errstate(over="ignore"):
            low, high = self.low.astype(kind), self.high.astype(kind)
        low = np.where(low < self.low, np.nextafter(low, kind.type(np.inf)), low)
        high = np.where(high > self.high, np.nextafter(high, kind.type(-np.inf)), high)
        return low, high


def _listed(saved: Mapping[str, Any], name: str) -> list[Any]:
    entries = saved[name]
    if not isinstance(entries, list):
        raise ValueError(f"the bounds {name} are {shown(entries)}, which is not a list")
    return entries
