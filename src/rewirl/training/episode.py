"""The current training episode, kept so that a resumed run can play it again up to where it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.training.environments import Environment

LONGEST_RECORD = 100_000
"""Actions kept of one episode. A longer one is not played again; a resumed run begins the next episode instead."""


class Episode:
    """The episode that is being played in an environment.

    An environment's private state cannot be saved in general. Each episode has a seed of its own instead, and its
    actions are kept: reset and the same actions lead to the same state.
    """

    def __init__(self, environment: Environment, seed: int) -> None:
        """Be ready for episode 0 of the run with this seed."""
        self._environment = environment
        self._seed = seed
        self._actions: list[NDArray[Any]] = []
        self._recorded = True
        self.number = -1
        self.observation: NDArray[np.float32] | None = None
        """The latest observation, float32 [observation_size]; None between two episodes."""
        self.total_reward = 0.0
        self.length = 0

    def begin_next(self) -> NDArray[np.float32]:
        """Reset the environment for the next episode and return its first observation."""
        self.number += 1
        self.total_reward, self.length = 0.0, 0
        self._actions.clear()
        self._recorded = True
        self.observation = self._reset()
        return self.observation

    def note(self, action: NDArray[Any], reward: float, observation: NDArray[np.float32], over: bool) -> None:
        """Note one step: the environment's own action, what it gave, and whether the episode is over."""
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
        values = {
            "number": self.number,
            "total_reward": self.total_reward,
            "length": self.length,
            "running": self.observation is not None,
            "recorded": self._recorded,
        }
        if self.observation is None or not self._recorded:
            return {}, values
        shape = (len(self._actions), self._environment.action_size)
        actions = np.array(self._actions, dtype=self._environment.bounds.dtype).reshape(shape)
        return {"actions": actions, "observation": self.observation}, values

    def load_state(self, arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> str | None:
        """Play the saved episode again up to where it was.

        Returns:
            None, or why the episode cannot be continued; the next one then begins with the next step.

        Raises:
            ValueError: a number is impossible, or the actions are of another environment.
            FaultyEnvironmentError: the environment misbehaved.
        """
        number, length = values["number"], values["length"]
        if type(number) is not int or type(length) is not int or not -1 <= number < 2**32 or length < 0:
            raise ValueError(f"the saved episode has the impossible number {number!r} or length {length!r}")
        self.number, self.length = number, length
        self.total_reward = float(values["total_reward"])
        self.observation = None
        if not values["running"]:
            return None
        if not values["recorded"]:
            return f"episode {self.number} is longer than {LONGEST_RECORD:,} steps, of which no record is kept"
        actions, expected = arrays["actions"], arrays["observation"]
        shape, dtype = (self.length, self._environment.action_size), self._environment.bounds.dtype
        if actions.shape != shape or actions.dtype != dtype:
            raise ValueError(
                f"the saved actions of the episode are {actions.dtype} {list(actions.shape)}, "
                f"expected {dtype} {list(shape)}"
            )
        self._actions, self._recorded = [action.copy() for action in actions], True
        observation = self._reset()
        for action in self._actions:
            step = self._environment.step(action)
            if step.terminated or step.truncated:
                break
            observation = step.observation
        else:
            if observation.tobytes() == expected.astype(np.float32).tobytes():
                self.observation = observation
                return None
        return (
            f"{self._environment.name} is not deterministic: reset with the same seed and given the same "
            f"{len(actions)} actions it went another way"
        )

    def _reset(self) -> NDArray[np.float32]:
        return self._environment.reset(seeding.episode_seed(self._seed, "train", self.number))
