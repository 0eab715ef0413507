"""The replay memory: a ring of transitions, sampled uniformly straight into the networks' tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import _core, seeding
from rewirl.nn import normal
from rewirl.replay.batch import Batch
from rewirl.saved import saved_array, shown, truth

_STRETCH = 10_000
"""Transitions that are checked at a time: what that takes is little beside the memory."""


class Replay:
    """A ring of the latest transitions.

    Args:
        capacity: number of transitions kept, at least 1; memory is taken as it fills.
        observation_size: features of an observation.
        action_size: features of an action, each in [-1, 1]. A choice between n actions has n: 1 for the chosen one, 0
            for the others.
        seed: the run's seed, from which the streams of sampling are derived.
        noise_from: observation features from this one on are noise, of which every sample has its own, drawn from
            N(0, 1); None has all features as they were added.
        environments: how many take turns: what follows on a transition is added so many transitions later.

    Raises:
        ValueError: a size is less than 1, there is not so much memory, or there is no feature `noise_from`.
    """

    def __init__(
        self,
        capacity: int,
        observation_size: int,
        action_size: int,
        seed: int,
        noise_from: int | None = None,
        environments: int = 1,
    ) -> None:
        if min(capacity, observation_size, action_size) < 1:
            raise ValueError(
                "capacity, observation size and action size must be at least 1, "
                f"got {capacity}, {observation_size}, {action_size}"
            )
        if noise_from is not None and not 0 <= noise_from < observation_size:
            raise ValueError(
                f"observations have {observation_size} features, so noise that is drawn anew begins with one from 0 to "
                f"{observation_size - 1}, not with {noise_from}"
            )
        self.capacity = capacity
        # One row per transition, so that a sample costs one stretch of memory: s, a, s', reward, continues.
        widths = [observation_size, action_size, observation_size, 1, 1]
        try:
            transitions = np.empty((capacity, sum(widths)), dtype=np.float32)
        except (MemoryError, ValueError, OverflowError) as error:
            raise ValueError(
                f"a replay memory of {capacity} transitions of {sum(widths)} numbers does not fit into memory; choose "
                "a smaller buffer_size"
            ) from error
        self._widths = widths
        self._keep_in(transitions)
        self._ends = np.zeros(capacity, dtype=np.uint8)
        self._size = 0
        self._cursor = 0
        self._has_forgotten = False
        self._rng = seeding.generator(seed, "replay")
        self._environments = environments
        self._noise_from, self._noise_rng = noise_from, seeding.generator(seed, "replay noise")
        self._add_expected: Callable[[], None] | None = None

    def _keep_in(self, transitions: NDArray[np.float32]) -> None:
        self.transitions = transitions
        columns = np.split(transitions, np.cumsum(self._widths)[:-1], axis=1)
        self.observations, self.actions, self.next_observations, self.rewards, self.continues = columns

    def __len__(self) -> int:
        """Return the number of transitions stored."""
        self.settle()
        return self._size

    def expect(self, add: Callable[[], None]) -> None:
        """Count the next transition as stored from now on, though it is still on its way.

        Samples are drawn as if it were there; those in which it is wait for it, and so does all else that is asked.

        Args:
            add: waits for the transition and calls `add` with it.
        """
        self._add_expected = add

    def settle(self) -> None:
        """Wait for the transition that is expected, if there is one."""
        if self._add_expected is not None:
            add, self._add_expected = self._add_expected, None
            add()

    def add(
        self,
        observation: NDArray[np.floating[Any]],
        action: NDArray[np.floating[Any]],
        reward: float,
        next_observation: NDArray[np.floating[Any]],
        terminated: bool,
        truncated: bool = False,
    ) -> None:
        """Store a transition, in place of the oldest when the memory is full.

        Args:
            observation: [observation_size]; copied.
            action: [action_size], in [-1, 1]; copied.
            reward: of the step.
            next_observation: [observation_size]; copied.
            terminated: whether the episode reached a terminal state; false when it was only cut by a time limit.
            truncated: whether it was cut, so that what this environment adds next is of another episode.
        """
        at = self._cursor
        self.observations[at] = observation
        self.actions[at] = action
        self.next_observations[at] = next_observation
        self.rewards[at] = reward
        self.continues[at] = not terminated
        self._ends[at] = terminated or truncated
        self._cursor = (at + 1) % self.capacity
        self._size = min(self._size + 1, self.capacity)

    @property
    def _first(self) -> int:
        """The row of the oldest transition."""
        return (self._cursor - self._size) % self.capacity

    def oldest(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the states and actions of the oldest transitions.

        Args:
            count: how many, at most as many as there are.

        Returns:
            Copies, float32 [count, observation_size] and [count, action_size].
        """
        self.settle()
        rows = (self._first + np.arange(min(count, self._size))) % self.capacity
        return self.observations[rows], self.actions[rows]

    def steps(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the states, actions and next states of all transitions, in an order that a restored memory has too.

        Returns:
            Views or copies, float32 [transitions, observation_size], [transitions, action_size] and
            [transitions, observation_size].
        """
        stored = self.state()[0]["transitions"]
        n, a = self.observations.shape[1], self.actions.shape[1]
        return stored[:, :n], stored[:, n : n + a], stored[:, n + a : 2 * n + a]

    def forget(self, count: int) -> None:
        """Remove the oldest transitions, so many but not all: the latest stays, if there is one."""
        self.settle()
        self._has_forgotten = True
        self._size -= min(count, max(self._size - 1, 0))

    def cut(self, before: int = 0) -> None:
        """Note that what follows on a transition is of another episode: on the latest, or on one so many before it."""
        self.settle()
        if before < self._size:
            self._ends[self._cursor - 1 - before] = True

    def sample(self, batch: Batch, steps: int = 1, gamma: float = 1.0) -> Batch:
        """Fill a batch with transitions drawn uniformly, with replacement, or with windows that begin at such.

        A window is `steps` consecutive transitions of an environment, as if they were one: its state and action are
        those of the first, its next state is that of the last, and

            reward = sum over its transitions k of gamma^k r_k
            continues = gamma^(length - 1) * continues of the last

        so that reward + gamma * continues * V(next state) is the target over several steps. It is shorter where its
        episode ends, by termination or by a time limit, or where nothing has been added yet.

        Args:
            batch: to be filled; its `next_actions` are left alone.
            steps: transitions of a window, at least 1.
            gamma: discount per step.

        Returns:
            The batch.

        Raises:
            ValueError: the memory is empty.
        """
        if steps > 1:
            self.settle()
        size, cursor, expected = self._size, self._cursor, -1
        if self._add_expected is not None:
            expected, size, cursor = cursor, min(size + 1, self.capacity), (cursor + 1) % self.capacity
        if size == 0:
            raise ValueError("the replay memory is empty: store a transition before sampling")
        bits = self._rng.bit_generator
        if steps == 1:
            # Of a ring that is full for good any row may be the first.
            first = (cursor - size) % self.capacity if self._has_forgotten else 0
            _core.sample_rows(
                batch.pool, bits, self.transitions, first, size, batch.size, batch.parts, expected, self.settle
            )
        else:
            _core.sample_windows(
                bits,
                self.transitions,
                self._ends,
                self._first,
                self._size,
                batch.size,
                steps,
                gamma,
                self.observations.shape[1],
                batch.parts,
                batch.between,
                self._environments,
            )
        batch.steps = steps
        if self._noise_from is not None:
            between = [states[:, : self.observations.shape[1]] for states in batch.between] if steps > 1 else []
            for observations in (batch.states, batch.next_states, *between):
                noise = observations[:, self._noise_from :]
                noise[...] = normal(self._noise_rng, noise.size).reshape(noise.shape)
        return batch

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs.

        The arrays are views, not copies, unless some transitions have been forgotten.
        """
        self.settle()
        live: Any = slice(self._size)
        cursor = self._cursor
        if self._has_forgotten:  # in their order, to be put back from row 0 on
            live, cursor = (self._first + np.arange(self._size)) % self.capacity, self._size % self.capacity
        values = {
            "capacity": self.capacity,
            "cursor": cursor,
            "forgotten": self._has_forgotten,
            "rng": seeding.state(self._rng),
        }
        if self._noise_from is not None:
            values["noise_rng"] = seeding.state(self._noise_rng)
        return {"transitions": self.transitions[live], "ends": self._ends[live]}, values

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], own: bool = False) -> None:
        """Put back what `state` returned.

        Args:
            arrays: of the state.
            values: of the state.
            own: whether nobody else has the arrays. Transitions that lie in memory for `capacity` of them are not
                copied then, but go on there.

        Raises:
            ValueError: an array is missing or does not fit, or the capacity differs; the message says which.
        """
        if values.get("capacity") != self.capacity:
            raise ValueError(
                f"the saved replay memory holds {shown(values.get('capacity'))} transitions, this one {self.capacity}"
            )
        of = "the array {} of the saved replay memory"
        columns = self.transitions.shape[1]
        saved = saved_array(arrays, "transitions", np.float32, (None, columns), of.format("transitions"), finite=False)
        if len(saved) > self.capacity:
            raise ValueError(f"the saved replay memory has {len(saved)} transitions, more than {self.capacity}")
        for begin in range(0, len(saved), _STRETCH):
            self._refuse_impossible(saved[begin : begin + _STRETCH])
        size, cursor = len(saved), values.get("cursor")
        ends = np.zeros(size, np.uint8)  # a run from before windows has none
        if "ends" in arrays:
            ends = saved_array(arrays, "ends", np.uint8, (size,), of.format("ends"))
        if (ends > 1).any():
            raise ValueError("the saved ends of episodes are neither 0 nor 1")
        fits = type(cursor) is int and (0 <= cursor < size if size == self.capacity else cursor == size)
        if not fits:
            raise ValueError(
                f"the cursor {shown(cursor)} of the saved replay memory does not fit its {size} transitions"
            )
        forgotten = truth(values.get("forgotten", False), "whether the saved replay memory has forgotten")
        noise_rng = seeding.generator(0, "replay noise")
        if self._noise_from is not None:
            seeding.restore(noise_rng, values.get("noise_rng", {}))
        seeding.restore(self._rng, values.get("rng", {}))
        self._noise_rng = noise_rng
        self._has_forgotten = forgotten
        if own and isinstance(saved.base, np.ndarray) and saved.base.shape == self.transitions.shape:
            self._keep_in(saved.base)
        else:
            self.transitions[:size] = saved
        self._ends[:size] = ends
        self._size, self._cursor = size, int(cursor)  # type: ignore[arg-type]

    def _refuse_impossible(self, rows: NDArray[np.float32]) -> None:
        if not np.isfinite(rows).all():
            raise ValueError("the saved transitions have numbers that are not finite")
        first = self.observations.shape[1]
        actions, continues = rows[:, first : first + self.actions.shape[1]], rows[:, -1]
        if (np.abs(actions) > 1).any() or not np.isin(continues, (0, 1)).all():
            raise ValueError(
                "the saved transitions have actions that are not in [-1, 1], or ends that are neither 0 nor 1"
            )
