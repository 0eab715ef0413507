"""Tasks that change as a run goes on, for agents that have to stay able to learn.

Importing this module registers them with Gymnasium:

    rewirl train --env-module rewirl.changing --env rewirl/SlipperyAnt-v0
    rewirl train --env-module rewirl.changing --env rewirl/Permuted-v0 --env-kwargs '{"env": "Ant-v5", "every": 50000}'
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rewirl.exact import exactly

SLIPPERY_ANT, PERMUTED = "rewirl/SlipperyAnt-v0", "rewirl/Permuted-v0"

_STEPS = "rewirl_steps"


class Changing(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that is another task after every so many steps of a run.

    Task k is in force in all episodes that begin after more than k * every steps, and at most as many as the next
    task's. What it is like depends on the seed and k alone: training, evaluation and a run that is resumed have the
    same, and nothing has to be saved. Rewirl sets `rewirl_steps` to the steps of the run before every reset; without
    it, steps are counted.

    Args:
        env: the environment.
        every: steps of the run per task, at least 1.
        seed: of the tasks, whatever the seed of the episodes or of the run.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], every: int, seed: int) -> None:
        super().__init__(env)
        self._every: int = exactly(int, every, "every")
        self._seed: int = exactly(int, seed, "seed")
        if self._every < 1:
            raise ValueError(f"every must be a number of steps, at least 1, got {every!r}")
        if self._seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed!r}")
        self._steps = 0
        self._task: int | None = None

    @property
    def rewirl_steps(self) -> int:
        """Steps of the run so far; environments inside that change too are told of them."""
        return self._steps

    @rewirl_steps.setter
    def rewirl_steps(self, steps: int) -> None:
        self._steps = steps
        if self.env.has_wrapper_attr(_STEPS):
            self.env.set_wrapper_attr(_STEPS, steps)

    @property
    def task(self) -> int:
        """The number of the task that an episode would have that began now, from 0."""
        return max(self._steps - 1, 0) // self._every

    @abstractmethod
    def change(self, rng: np.random.Generator) -> None:
        """Make the task what this random stream, which no other task has, says."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of the task in force."""
        if self._task != self.task:
            self._task = self.task
            self.change(np.random.default_rng([self._seed, self.task, 0x4348414E4745]))
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; see gymnasium.Env."""
        result = self.env.step(action)
        self._steps += 1
        return result


class Slippery(Changing, gymnasium.utils.RecordConstructorArgs):
    """Draw the friction of every task log-uniformly (slippery Ant, Dohare et al. 2024).

    It is the sliding friction of all bodies, since MuJoCo takes the larger of the two that touch.

    Args:
        env: an environment of MuJoCo.
        every: steps of the run per friction.
        seed: of the frictions.
        low: smallest friction, more than 0.
        high: largest friction.

    Raises:
        ValueError: an argument is impossible, or the environment has no model of MuJoCo.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], every: int = 250_000, seed: int = 0, low: float = 0.02, high: float = 2.0
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, every=every, seed=seed, low=low, high=high)
        Changing.__init__(self, env, every, seed)
        low, high = exactly(float, low, "low"), exactly(float, high, "high")
        if not 0 < low <= high < math.inf:
            raise ValueError(f"low must be more than 0 and at most high, which must be finite; got {low} and {high}")
        if not hasattr(env.unwrapped, "model") or not hasattr(env.unwrapped.model, "geom_friction"):
            raise ValueError(f"there is friction in environments of MuJoCo, and {env.unwrapped} is none")
        self._bounds = math.log(low), math.log(high)

    @property
    def friction(self) -> float:
        """The sliding friction of now."""
        return float(self.env.unwrapped.model.geom_friction[0, 0])  # type: ignore[attr-defined]

    def change(self, rng: np.random.Generator) -> None:
        """See Changing."""
        self.env.unwrapped.model.geom_friction[:, 0] = math.exp(rng.uniform(*self._bounds))  # type: ignore[attr-defined]


class Permuted(Changing, gymnasium.utils.RecordConstructorArgs):
    """Permute the features of observations, another way in every task, the first included.

    Args:
        env: an environment with a Box of observations; one that is no vector is flattened, row by row.
        every: steps of the run per permutation.
        seed: of the permutations.

    Raises:
        ValueError: an argument or the observation space is impossible.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], every: int, seed: int = 0) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, every=every, seed=seed)
        Changing.__init__(self, env, every, seed)
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise ValueError(
                f"the features of a Box of observations are permuted, not those of {space}; flatten it first: "
                "gymnasium.wrappers.FlattenObservation(env)"
            )
        features = math.prod(space.shape)
        self._order = np.arange(features)
        low, high = np.full(features, space.low.min()), np.full(features, space.high.max())  # any may be anywhere
        self.observation_space = spaces.Box(low, high, dtype=space.dtype.type)

    def change(self, rng: np.random.Generator) -> None:
        """See Changing."""
        self._order = rng.permutation(len(self._order))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of the task in force."""
        observation, info = super().reset(seed=seed, options=options)
        return np.reshape(observation, -1)[self._order], info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; see gymnasium.Env."""
        observation, reward, terminated, truncated, info = super().step(action)
        return np.reshape(observation, -1)[self._order], reward, terminated, truncated, info


def make_slippery_ant(
    every: int = 250_000, seed: int = 0, low: float = 0.02, high: float = 2.0, **kwargs: Any
) -> Slippery:
    """Make Ant-v5 with a friction that changes; further arguments are its own."""
    return Slippery(gymnasium.make("Ant-v5", **kwargs), every, seed, low, high)


def make_permuted(env: str, every: int, seed: int = 0, render_mode: str | None = None, **kwargs: Any) -> Permuted:
    """Make an environment by its Gymnasium id and permute its observations; further arguments are its own."""
    return Permuted(gymnasium.make(env, render_mode=render_mode, **kwargs), every, seed)


gymnasium.register(
    SLIPPERY_ANT, entry_point="rewirl.changing:make_slippery_ant", disable_env_checker=True, order_enforce=False
)
gymnasium.register(PERMUTED, entry_point="rewirl.changing:make_permuted", disable_env_checker=True, order_enforce=False)
