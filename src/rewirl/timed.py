"""Observations that say how late in its episode a step is (stream-x, Elsayed et al. 2024).

rewirl train --agent stream-ac --env HalfCheetah-v5 --wrapper rewirl.timed:Timed
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


def _limits(env: Any) -> Iterator[int]:
    """Yield the time limits of an environment, of each of its wrappers and of its registration."""
    while True:
        registered = None if env.spec is None else env.spec.max_episode_steps
        own = getattr(env, "_max_episode_steps" if isinstance(env, gymnasium.Wrapper) else "max_episode_steps", None)
        yield from filter(None, (registered, own))
        if not isinstance(env, gymnasium.Wrapper):
            return
        env = env.env


class Timed(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Append the time to observations: -0.5 when an episode begins, 0.5 when its time limit T cuts it.

    Args:
        env: an environment with a time limit and a Box of observations; one that is no vector is flattened. The limit
            is the least of its registration, its wrappers and its own `max_episode_steps`.

    Raises:
        ValueError: it has no time limit, or observes something else.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Take the time limit from the environment."""
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        limit = min(_limits(env), default=None)
        if not limit:
            raise ValueError("the time of a step says something where there is a time limit, and this has none")
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise ValueError(
                f"the time is appended to a Box of observations, not to {space}; flatten it first: "
                "gymnasium.wrappers.FlattenObservation(env)"
            )
        self._limit, self._step, self._kind = limit, 0, np.result_type(space.dtype, np.float32)
        self.observation_space = spaces.Box(
            self._timed(space.low, -0.5), self._timed(space.high, 0.5), dtype=self._kind.type
        )

    def _timed(self, observation: Any, time: float) -> Any:
        return np.append(np.ravel(observation).astype(self._kind), self._kind.type(time))

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(**arguments)
        self._step = 0
        return self._timed(observation, -0.5), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; the time moves on by 1 / T."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._step += 1
        return self._timed(observation, -0.5 + self._step / self._limit), reward, terminated, truncated, info
