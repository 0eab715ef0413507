"""The wrapper that appends the time to observations."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from rewirl.timed import Timed


def test_the_time_goes_from_minus_a_half_to_a_half_in_an_episode():
    env = Timed(gymnasium.make("Pendulum-v1", max_episode_steps=4))
    assert env.observation_space.shape == (4,)
    for _ in range(2):
        observation, _ = env.reset(seed=0)
        seen, over = [observation], False
        while not over:
            observation, _, _, over, _ = env.step(env.action_space.sample())
            seen.append(observation)
        assert [each[-1] for each in seen] == [-0.5, -0.25, 0, 0.25, 0.5]
        assert all(env.observation_space.contains(each) for each in seen)
        plain, _ = env.env.reset(seed=0)
        assert np.array_equal(seen[0][:-1], plain)


class Shorter(gymnasium.Env):
    """Has a limit of its own, as tasks with an action repeat do."""

    observation_space = action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    max_episode_steps = 2

    def reset(self, **_):
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, _):
        self.steps += 1
        return np.zeros(1, np.float32), 0.0, False, self.steps == 2, {}


def test_an_environments_own_limit_counts_where_it_is_less():
    env = Timed(gymnasium.wrappers.TimeLimit(Shorter(), 1_000))
    env.reset(seed=0)
    assert [env.step(np.zeros(1))[0][-1] for _ in range(2)] == [0.0, 0.5]


def test_a_wrappers_limit_counts_where_it_is_less():
    env = gymnasium.make("MountainCar-v0", max_episode_steps=3)
    assert Timed(gymnasium.wrappers.TimeLimit(env, 1_000))._limit == 3
    assert Timed(gymnasium.wrappers.TimeLimit(gymnasium.make("Pendulum-v1").unwrapped, 7))._limit == 7


def test_what_has_no_time_or_no_vector_is_refused():
    with pytest.raises(ValueError, match="this has none"):
        Timed(gymnasium.make("Pendulum-v1").unwrapped)
    with pytest.raises(ValueError, match="the time is appended to a Box of observations, not to Discrete"):
        Timed(gymnasium.make("FrozenLake-v1"))
