"""The current training episode of an environment, kept so that a resumed run can play it again up to where it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.environments.environment import Environment, FaultyEnvironmentError, Step
from rewirl.environments.environment_process import EnvironmentProcess
from rewirl.saved import count, listed, number, saved_array, truth

LONGEST_RECORD = 100_000
"""Actions kept of one episode. A longer one is not played again; a resumed run begins the next episode instead."""


class Episode:
    """The episode that is being played in an environment.

    An environment's private state cannot be saved in general. Each episode has a seed of its own instead, and its
    actions are kept: reset and the same actions lead to the same state. An environment may also depend on the steps of
    the run before the episode.
    """

    def __init__(self, environment: Environment | EnvironmentProcess, seed: int, index: int = 0) -> None:
        """Be ready for episode 0 of the run with this seed, in the environment of this index."""
        self._environment = environment
        self._seed = seed
        self.index = index
        """Which of the run's environments it is in, from 0."""
        self._purpose = f"train {index}" if index else "train"
        self._began = 0
        self._begun: tuple[Any, NDArray[np.float32]] | None = None
        self.faulty = False
        """Whether its step failed, and nobody knows what was done of it; it can be saved as begun, then given up."""
        self._actions: list[Any] = []
        self._recorded = True
        self.number = -1
        self.observation: NDArray[np.float32] | None = None
        """The latest observation, float32 [observation_size]; None between two episodes."""
        self.total_reward = 0.0
        self.length = 0
        self._before: list[Any] = []

    def begin_next(self, step: int) -> NDArray[np.float32]:
        """Reset the environment for the next episode, after so many steps of the run; return its first observation.

        Raises:
            FaultyEnvironmentError: the environment misbehaved; the episode is still to begin.
        """
        self.number += 1
        self.total_reward, self.length = 0.0, 0
        self._actions.clear()
        self._recorded = True
        self._before = self._environment.state()
        self._began = step
        try:
            self.observation = self._reset(step)
        except FaultyEnvironmentError:
            self.number -= 1
            raise
        return self.observation

    def give_up(self) -> None:
        """Leave the episode where it is: the next one begins with the next step."""
        self.observation, self._begun, self.faulty = None, None, False

    @property
    def idle(self) -> bool:
        """Whether no step has begun."""
        return self._begun is None

    def begin_step(self, action: Any, row: NDArray[np.float32]) -> None:
        """Begin a step, which `finish_step` finishes.

        Args:
            action: the environment's own.
            row: the action as the replay memory keeps it, float32 [action_size].

        Raises:
            FaultyEnvironmentError: the environment misbehaved; the step has begun all the same.
        """
        try:
            self._environment.begin(action)
        except FaultyEnvironmentError:
            self._begun, self.faulty = (action, row), True
            raise
        self._begun = action, row

    def finish_step(self) -> tuple[NDArray[np.float32], NDArray[np.float32], Step]:
        """Return what was observed before the step, its action as the replay memory keeps it, and its outcome.

        Raises:
            FaultyEnvironmentError: the environment misbehaved; the step is still the one that has begun.
        """
        assert self.observation is not None and self._begun is not None, "no step was begun"
        before, (action, row) = self.observation, self._begun
        try:
            after = self._environment.finish()
        except FaultyEnvironmentError:
            self.faulty = True
            raise
        self._begun = None
        self._note(action, after.reward, after.observation, after.terminated or after.truncated)
        return before, row, after

    def _note(self, action: Any, reward: float, observation: NDArray[np.float32], over: bool) -> None:
        self.total_reward += reward
        self.length += 1
        self.observation = None if over else observation
        if over or len(self._actions) >= LONGEST_RECORD:
            self._recorded = self._recorded and over
            self._actions.clear()
        elif self._recorded:
            self._actions.append(action)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything needed to continue: arrays and JSON values."""
        values: dict[str, Any] = {
            "number": self.number,
            "total_reward": self.total_reward,
            "length": self.length,
            "running": self.observation is not None,
            "recorded": self._recorded,
        }
        played_again = self.observation is not None and self._recorded
        state = self._before if played_again else self._environment.state()
        if state:
            values["environment"] = state
        if self.observation is None or not self._recorded:
            return {}, values
        shape = (len(self._actions), *self._environment.actions.recorded_shape)
        kind = self._environment.actions.dtype
        arrays = {"actions": np.array(self._actions, dtype=kind).reshape(shape), "observation": self.observation}
        if self._begun is not None:
            action, row = self._begun
            arrays |= {"begun": np.array(action, dtype=kind).reshape(shape[1:]), "begun_row": row}
        if self._began or self.number:  # without it the first one began at 0
            values["began"] = self._began
        return arrays, values

    def load_state(self, arrays: dict[str, NDArray[Any]], values: dict[str, Any], step: int) -> str | None:
        """Play the saved episode again up to where it was, `step` steps into the run.

        Returns:
            None, or why the episode cannot be continued; the next one then begins with the next step.

        Raises:
            ValueError: an array or value is missing or impossible; the message says which.
            FaultyEnvironmentError: the environment misbehaved.
        """
        number_ = values.get("number")  # -1 before the first episode
        self.number = (
            -1 if type(number_) is int and number_ == -1 else count(number_, "the saved number of the episode")
        )
        self.length = count(values.get("length"), "the saved length of the episode")
        self.total_reward = number(values.get("total_reward"), "the saved return of the episode")
        running = truth(values.get("running"), "whether the saved episode is running")
        recorded = truth(values.get("recorded"), "whether the saved episode is recorded")
        first = 0 if self.number == 0 else step - self.length
        began = count(values.get("began", first), "the saved step at which the episode began")
        self.observation, self._begun = None, None
        if "environment" in values or self._environment.state():
            self._before = listed(values.get("environment"), "what the saved environment keeps between episodes")
            self._environment.load_state(self._before)
        if not running:
            return None
        if self.number < 0:
            raise ValueError("the saved episode is running, but has no number")
        if not recorded:
            return f"episode {self.number} is longer than {LONGEST_RECORD:,} steps, of which no record is kept"
        actions, expected = self._checked(arrays)
        self._actions, self._recorded = list(actions.copy()), True
        self._began = began
        begun = self._checked_begun(arrays)
        observation = self._reset(began)
        for action in self._actions:
            after = self._environment.step(action)
            if after.terminated or after.truncated:
                break
            observation = after.observation
        else:
            if observation.tobytes() == expected.tobytes():
                self.observation = observation
                if begun is not None:
                    self.begin_step(*begun)
                return None
        return (
            f"{self._environment.name} is not deterministic: reset with the same seed and given the same "
            f"{len(actions)} actions it went another way"
        )

    def _checked(self, arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the saved actions and the latest observation, if they can be those of the episode."""
        space, size = self._environment.actions, self._environment.observation_size
        name, shape = "the array actions of the saved episode", (self.length, *space.recorded_shape)
        actions = saved_array(arrays, "actions", space.dtype, shape, name)
        if not space.contains(actions):
            raise ValueError(f"{name} is not within the bounds of the environment's")
        of = "the array observation of the saved episode"
        return actions, saved_array(arrays, "observation", np.float32, (size,), of)

    def _checked_begun(self, arrays: dict[str, NDArray[Any]]) -> tuple[Any, NDArray[np.float32]] | None:
        """Return the step that had begun when the episode was saved, if there was one."""
        if "begun" not in arrays:
            return None
        action, row, space = arrays["begun"], arrays.get("begun_row"), self._environment.actions
        if action.dtype != space.dtype or action.shape != space.recorded_shape or not space.contains(action[None]):
            raise ValueError("the saved step that had begun has an action that is not one of the environment's")
        if row is None or row.dtype != np.float32 or row.shape != (space.size,) or not (np.abs(row) <= 1).all():
            raise ValueError(f"the saved step that had begun has no action of {space.size} numbers in [-1, 1]")
        return (action.copy() if action.ndim else action[()]), row.copy()

    def _reset(self, step: int) -> NDArray[np.float32]:
        return self._environment.reset(seeding.episode_seed(self._seed, self._purpose, self.number), step)
