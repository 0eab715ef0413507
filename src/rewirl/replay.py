"""The replay memory: a ring of transitions, sampled uniformly straight into the networks' tiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import _core, seeding
from rewirl.nn import empty_tiles, mean_weights, tile_shape


class Batch:
    """A sampled batch, in memory that is used again for every batch.

    States and actions lie side by side because that is what a critic takes.

    Args:
        batch_size: number of transitions.
        observation_size: features of an observation.
        action_size: features of an action.
    """

    def __init__(self, batch_size: int, observation_size: int, action_size: int) -> None:
        """See the class."""
        self.size = batch_size
        self.states_actions = empty_tiles(batch_size, observation_size + action_size)
        """float32 [tiles, observation + action, width]."""
        self.next_states_actions = empty_tiles(batch_size, observation_size + action_size)
        """The same for the next states; the actions in it are the agent's to write."""
        self.states = self.states_actions[:, :observation_size]
        self.actions = self.states_actions[:, observation_size:]
        self.next_states = self.next_states_actions[:, :observation_size]
        self.next_actions = self.next_states_actions[:, observation_size:]
        self.rewards = empty_tiles(batch_size, 1)
        """float32 [tiles, 1, width]."""
        self.continues = empty_tiles(batch_size, 1)
        """0 where the episode terminated, else 1; float32 [tiles, 1, width]."""
        self.weights = mean_weights(batch_size)
        """1 / batch_size, and 0 for padding; float32 [tiles, 1, width]."""


class Replay:
    """A ring of the latest transitions.

    Args:
        capacity: number of transitions kept, at least 1; memory is taken as it fills.
        observation_size: features of an observation.
        action_size: features of an action, each in [-1, 1].
        seed: the run's seed, from which the stream of sampling is derived.

    Raises:
        ValueError: a size is less than 1.
    """

    def __init__(self, capacity: int, observation_size: int, action_size: int, seed: int) -> None:
        """See the class."""
        if min(capacity, observation_size, action_size) < 1:
            raise ValueError(
                f"capacity, observation and action size must be at least 1, got {capacity}, {observation_size}, {action_size}"
            )
        self.capacity = capacity
        self.observations = np.empty((capacity, observation_size), dtype=np.float32)
        self.actions = np.empty((capacity, action_size), dtype=np.float32)
        self.next_observations = np.empty((capacity, observation_size), dtype=np.float32)
        self.outcomes = np.empty((capacity, 2), dtype=np.float32)  # reward, continues
        self._size = 0
        self._cursor = 0
        self._rng = seeding.generator(seed, "replay")

    def __len__(self) -> int:
        """Return the number of transitions stored."""
        return self._size

    def add(
        self,
        observation: NDArray[np.floating[Any]],
        action: NDArray[np.floating[Any]],
        reward: float,
        next_observation: NDArray[np.floating[Any]],
        terminated: bool,
    ) -> None:
        """Store a transition, in place of the oldest when the memory is full.

        Args:
            observation: [observation_size]; copied.
            action: [action_size], in [-1, 1]; copied.
            reward: of the step.
            next_observation: [observation_size]; copied.
            terminated: whether the episode reached a terminal state; false when it was only cut by a time limit.
        """
        at = self._cursor
        self.observations[at] = observation
        self.actions[at] = action
        self.next_observations[at] = next_observation
        self.outcomes[at] = reward, not terminated
        self._cursor = (at + 1) % self.capacity
        self._size = min(self._size + 1, self.capacity)

    def sample(self, batch: Batch) -> Batch:
        """Fill a batch with transitions drawn uniformly, with replacement.

        Args:
            batch: to be filled; its `next_actions` are left alone.

        Returns:
            The batch.

        Raises:
            ValueError: the memory is empty.
        """
        if self._size == 0:
            raise ValueError("the replay memory is empty: store a transition before sampling")
        index = self._rng.integers(self._size, size=batch.size)
        _core.gather_rows(self.observations, index, batch.states_actions, 0)
        _core.gather_rows(self.actions, index, batch.states_actions, self.observations.shape[1])
        _core.gather_rows(self.next_observations, index, batch.next_states_actions, 0)
        tiles, width = tile_shape(batch.size)
        outcomes = np.zeros((tiles * width, 2), dtype=np.float32)
        outcomes[: batch.size] = self.outcomes[index]
        batch.rewards[:, 0], batch.continues[:, 0] = outcomes.T.reshape(2, tiles, width)
        return batch

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs; the arrays are views of the filled part, not copies."""
        filled = slice(0, self._size)
        arrays: dict[str, NDArray[Any]] = {name: array[filled] for name, array in self._arrays().items()}
        return arrays, {"capacity": self.capacity, "cursor": self._cursor, "rng": seeding.state(self._rng)}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array is missing or does not fit, or the capacity differs; the message says which.
        """
        if values.get("capacity") != self.capacity:
            raise ValueError(f"the saved replay memory holds {values.get('capacity')} transitions, this one {self.capacity}")
        own = self._arrays()
        missing = sorted(set(own) - set(arrays))
        if missing:
            raise ValueError(f"the saved replay memory lacks {', '.join(missing)}")
        size = len(arrays["observations"])
        for name, array in own.items():
            saved = arrays[name]
            if saved.dtype != np.float32 or saved.ndim != 2 or saved.shape != (size, array.shape[1]) or size > self.capacity:
                raise ValueError(
                    f"the saved {name} of the replay memory are {saved.dtype} {saved.shape}, "
                    f"expected float32 of at most {self.capacity} rows and {array.shape[1]} columns, as many as the others"
                )
            if not np.isfinite(saved).all():
                raise ValueError(f"the saved {name} of the replay memory have numbers that are not finite")
        cursor = values.get("cursor")
        if not isinstance(cursor, int) or cursor != (size if size < self.capacity else cursor) % self.capacity or cursor < 0:
            raise ValueError(f"the cursor {cursor!r} of the saved replay memory does not fit its {size} transitions")
        seeding.restore(self._rng, values.get("rng", {}))
        for name, array in own.items():
            array[:size] = arrays[name]
        self._size, self._cursor = size, cursor

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        return {
            "observations": self.observations,
            "actions": self.actions,
            "next_observations": self.next_observations,
            "outcomes": self.outcomes,
        }
