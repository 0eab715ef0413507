"""What an agent chooses and what an environment takes: an interface, and the choice between numbered actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rewirl.saved import count, shown

Action = NDArray[np.float32] | int
"""What an agent chose: float32 [size] in [-1, 1] for a Box, a number from 0 on for Discrete."""

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


class Actions(Protocol):
    """The actions of an environment, and the way there from what an agent computes."""

    kind: ClassVar[str]
    """The Gymnasium space: "Box" or "Discrete". Agents say by this word which they take."""

    expected: str
    """What valid actions are, for a message: "finite numbers"."""

    dtype: np.dtype[Any]
    """Type of the environment's own actions."""

    @property
    def size(self) -> int:
        """Features of an action for networks and replay memory: dimensions of a Box, number of Discrete actions."""

    @property
    def recorded_shape(self) -> tuple[int, ...]:
        """Shape of an action as `to_environment` returns it: (size,) or ()."""

    def valid(self, actions: Any) -> bool:
        """Tell whether one or more actions are what an agent may choose."""

    def row(self, action: Action) -> NDArray[np.float32]:
        """Return an agent's action as the replay memory keeps it, float32 [size] in [-1, 1]."""

    def random(self, rng: np.random.Generator) -> Action:
        """Draw an action as an agent would choose it, uniformly."""

    def noisy(self, action: Action, noise: float, rng: np.random.Generator) -> Action:
        """Disturb an agent's action a little, so that it explores."""

    def to_environment(self, actions: Any) -> Any:
        """Turn actions of an agent, one or a batch, into the environment's own; arrays of its type, flat."""

    def shaped(self, action: Any) -> Any:
        """Return one action of `to_environment` as the environment's `step` takes it."""

    def to_user(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Turn a batch of an agent's actions into the environment's own, [batch, *its shape]."""

    def contains(self, actions: NDArray[Any]) -> bool:
        """Tell whether all actions of `to_environment` are in the environment's space."""

    def same_as(self, space: Any) -> bool:
        """Tell whether an environment's action space is still the one that these actions were made from."""

    def values(self) -> dict[str, Any]:
        """Return them as JSON values, for files."""


class DiscreteActions:
    """A choice between `size` actions, which agents number from 0 on; see `Actions`.

    The replay memory keeps a choice as one feature per action: 1 for the chosen one, 0 for the others.

    Args:
        size: number of actions, at least 1.
        start: the environment's own number of the first.
        dtype: integer type of the environment's actions.

    Raises:
        ValueError: there is no action, or the numbers do not fit into the type.
    """

    kind: ClassVar[str] = "Discrete"

    def __init__(self, size: int, start: int = 0, dtype: Any = np.int64) -> None:
        """Check that all numbers fit into the type."""
        self.dtype = np.dtype(dtype)
        if size < 1:
            raise ValueError(f"there must be at least 1 discrete action, got {size}")
        if self.dtype.kind not in "iu":
            raise ValueError(f"discrete actions must be integers, got {self.dtype}")
        limits = np.iinfo(self.dtype)
        if not limits.min <= start <= limits.max - size + 1:
            raise ValueError(f"{size} actions from {start} on do not fit into {self.dtype}")
        self._size, self.start = size, start
        self.expected = f"integers from 0 to {size - 1}"

    @property
    def size(self) -> int:
        """Number of actions."""
        return self._size

    @property
    def recorded_shape(self) -> tuple[int, ...]:
        """Shape of an action as `to_environment` returns it: a single number."""
        return ()

    def valid(self, actions: Any) -> bool:
        """Tell whether some choices, one or a batch, are numbers of actions."""
        choices = np.asarray(actions)
        return choices.dtype.kind in "iu" and bool(((choices >= 0) & (choices < self._size)).all())

    def row(self, action: Action) -> NDArray[np.float32]:
        """Return a choice as one feature per action, float32 [size]: 1 for the chosen one, 0 for the others."""
        features = np.zeros(self._size, np.float32)
        features[int(action)] = 1
        return features

    def random(self, rng: np.random.Generator) -> int:
        """Draw a choice, uniformly."""
        return int(rng.integers(self._size))

    def noisy(self, action: Action, noise: float, rng: np.random.Generator) -> int:
        """Replace a choice by a random one with probability `noise`."""
        return self.random(rng) if rng.random() < noise else int(action)

    def to_environment(self, actions: Any) -> Any:
        """Return the environment's own numbers of choices, in its type: a scalar for one, an array for a batch."""
        return np.add(actions, self.start).astype(self.dtype)

    def shaped(self, action: Any) -> Any:
        """Return what `step` of the environment takes: a scalar of its type."""
        return self.dtype.type(action)

    def to_user(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return the environment's own numbers of a batch of choices, [batch]."""
        numbers: NDArray[Any] = self.to_environment(actions)
        return numbers

    def contains(self, actions: NDArray[Any]) -> bool:
        """Tell whether all of the environment's own numbers, [count], are those of actions."""
        return bool(((actions >= self.start) & (actions <= self.start + self._size - 1)).all())

    def same_as(self, space: Any) -> bool:
        """Tell whether an environment's action space still has these actions."""
        return (getattr(space, "n", None), getattr(space, "start", None)) == (self._size, self.start)

    def values(self) -> dict[str, Any]:
        """Return size, first number and type as JSON values."""
        return {"size": self._size, "start": self.start, "dtype": self.dtype.name}

    @classmethod
    def from_values(cls, saved: Mapping[str, Any]) -> DiscreteActions:
        """Return the actions that `values` described.

        Raises:
            KeyError: a value is missing.
            ValueError: a value is impossible; the message names it.
        """
        size, start, dtype = count(saved["size"], "the number of actions"), saved["start"], saved["dtype"]
        if type(start) is not int:
            raise ValueError(f"the number of the first action is {shown(start)}, which is not an integer")
        if dtype not in _INTEGERS:
            raise ValueError(f"the dtype of actions is {shown(dtype)}; it must be one of {', '.join(_INTEGERS)}")
        return cls(size, start, dtype)

    def __str__(self) -> str:
        """Say which actions there are, for a message."""
        return f"actions from {self.start} to {self.start + self._size - 1}"
