"""A rollout: the steps of a policy that does not change meanwhile, kept until they are learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rewirl.saved import listed, saved_array, shown

_MOST_ENVIRONMENTS = 1_000


class Rollout:
    """Steps in the order in which they end, in several environments that take turns.

    Args:
        capacity: steps that it takes, at least 1.
        observation_size: features of an observation.
        action_size: features of an action; a choice between n actions has n, 1 for the chosen one and 0 for the others.

    Raises:
        ValueError: it does not fit into memory.
    """

    def __init__(self, capacity: int, observation_size: int, action_size: int) -> None:
        self.capacity = capacity
        widths = [observation_size, action_size, observation_size, 1]
        try:
            self._rows = np.zeros((capacity, sum(widths)), np.float32)
        except (MemoryError, ValueError) as error:
            raise ValueError(
                f"a rollout of {capacity} steps of {sum(widths)} numbers does not fit into memory; choose a smaller "
                "rollout_steps"
            ) from error
        self.states, self.actions, self.next_states, rewards = np.split(self._rows, np.cumsum(widths)[:-1], axis=1)
        self.rewards = rewards[:, 0]
        """float32 [capacity]."""
        self._ends = np.zeros((capacity, 2), np.uint8)
        self.terminated, self.over = self._ends[:, 0], self._ends[:, 1]
        """1 where the episode reached a terminal state, and 1 where it ended, be it by a time limit; uint8 [capacity].
        """
        self.environments = np.zeros(capacity, np.int64)
        """Of each step that in which it was."""
        self._begun: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return the number of steps that have ended."""
        return self._size

    @property
    def full(self) -> bool:
        """Whether as many steps have ended as it takes."""
        return self._size == self.capacity

    def begin(self, environment: int, state: NDArray[np.float32], action: NDArray[np.float32]) -> None:
        """Note the beginning of a step.

        Args:
            environment: in which it is.
            state: as networks see it, float32 [observation].
            action: as it was drawn, before it is clipped, float32 [action].
        """
        self._begun[environment] = state, action

    def end(
        self, environment: int, reward: float, next_state: NDArray[np.float32], terminated: bool, truncated: bool
    ) -> None:
        """Note the end of the step that was begun in an environment.

        Args:
            environment: in which it is.
            reward: of the step.
            next_state: as networks see it, float32 [observation].
            terminated: whether the episode reached a terminal state.
            truncated: whether it was cut by a time limit.

        Raises:
            ValueError: none was begun there.
        """
        if environment not in self._begun:
            raise ValueError(f"no step was begun in environment {environment}")
        at = self._size
        self.states[at], self.actions[at] = self._begun.pop(environment)
        self.rewards[at], self.next_states[at] = reward, next_state
        self._ends[at] = terminated, terminated or truncated
        self.environments[at] = environment
        self._size += 1

    def cut(self, environment: int) -> None:
        """Note that the episode in an environment is given up: its latest step was the last one."""
        self._begun.pop(environment, None)
        steps = np.flatnonzero(self.environments[: self._size] == environment)
        self.over[steps[-1:]] = 1

    def clear(self) -> None:
        """Forget the steps that have ended."""
        self._size = 0

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: copies of arrays, and JSON values."""
        begun = [np.concatenate(parts) for parts in self._begun.values()]
        width = self.states.shape[1] + self.actions.shape[1]
        arrays: dict[str, NDArray[Any]] = {
            "rows": self._rows[: self._size].copy(),
            "ends": self._ends[: self._size].copy(),
            "environments": self.environments[: self._size].copy(),
            "begun": np.array(begun, np.float32).reshape(-1, width),
        }
        return arrays, {"begun": list(self._begun)}

    def restored(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> Rollout:
        """Return what `state` described, of the same kind as this, which stays what it is.

        Raises:
            ValueError: an array or value is missing or impossible; the message names it.
        """
        size, features = self.states.shape[1], self.actions.shape[1]
        result = Rollout(self.capacity, size, features)
        rows = _array(arrays, "rows", np.float32, (None, self._rows.shape[1]))
        result._size = count = len(rows)
        if count >= self.capacity:
            raise ValueError(f"the saved rollout has {count} steps; this one is learnt from with {self.capacity}")
        ends = _array(arrays, "ends", np.uint8, (count, 2))
        environments = _array(arrays, "environments", np.int64, (count,))
        numbers = listed(values.get("begun"), "the environments of steps that had begun")
        begun = _array(arrays, "begun", np.float32, (len(numbers), size + features))
        # States may be infinite: normalised ones overflow where a deviation is tiny. The next update says so, as it
        # does in a run that was not cut.
        if not all(np.isfinite(part).all() for part in (rows[:, size : size + features], rows[:, -1], begun[:, size:])):
            raise ValueError("the saved rollout has actions or rewards that are not finite")
        if (ends > 1).any() or (ends[:, 0] > ends[:, 1]).any():
            raise ValueError("the saved ends of a rollout are neither 0 nor 1, or an episode terminated without an end")
        known = all(type(number) is int and 0 <= number < _MOST_ENVIRONMENTS for number in numbers)
        if not known or len(set(numbers)) < len(numbers):
            raise ValueError(f"the saved rollout has steps that had begun in {shown(numbers)}")
        if ((environments < 0) | (environments >= _MOST_ENVIRONMENTS)).any():
            raise ValueError("the saved rollout has environments with impossible numbers")
        result._rows[:count], result._ends[:count], result.environments[:count] = rows, ends, environments
        result._begun = {
            number: (row[:size].copy(), row[size:].copy()) for number, row in zip(numbers, begun, strict=True)
        }
        return result


def _array(arrays: Mapping[str, NDArray[Any]], key: str, dtype: DTypeLike, shape: Sequence[int | None]) -> NDArray[Any]:
    return saved_array(arrays, key, dtype, shape, f"the array {key} of the saved rollout", finite=False)
