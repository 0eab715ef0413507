"""Environments with features of noise."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rewirl import noisy

KWARGS = {"env": "Pendulum-v1", "fraction": 0.9}


def rollout(env, seed, steps=20):
    observation, _ = env.reset(seed=seed)
    seen = [observation]
    for _ in range(steps):
        observation, reward, *_ = env.step(np.array([0.3], np.float32))
        seen.append(np.append(observation, reward))
    return seen


def test_the_real_features_come_first_and_are_what_they_were():
    plain, wrapped = gymnasium.make("Pendulum-v1"), gymnasium.make(noisy.ID, **KWARGS)
    for a, b in zip(rollout(plain, 3), rollout(wrapped, 3), strict=True):
        assert np.array_equal(a[:3], b[:3])
        assert len(b) - len(a) == 27
    assert wrapped.observation_space.shape == (30,) and wrapped.observation_space.dtype == np.float32
    assert np.array_equal(wrapped.observation_space.low[:3], plain.observation_space.low)
    assert np.isinf(wrapped.observation_space.high[3:]).all()


def test_noise_is_standard_normal_and_decided_by_the_seed():
    env = gymnasium.make(noisy.ID, **KWARGS)
    first, again, other = (np.array([row[3:30] for row in rollout(env, seed, 150)[1:]]) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.mean() == pytest.approx(0, abs=0.05) and first.std() == pytest.approx(1, abs=0.05)
    quiet = gymnasium.make(noisy.ID, **KWARGS, std=0.0)
    assert not rollout(quiet, 1)[1][3:30].any()


@pytest.mark.parametrize(("fraction", "features"), [(0.0, 3), (0.5, 6), (0.7, 10), (0.9, 30), (0.99, 300)])
def test_the_fraction_is_that_of_all_features(fraction, features):
    env = gymnasium.make(noisy.ID, env="Pendulum-v1", fraction=fraction)
    assert env.observation_space.shape == (features,)
    assert (env.unwrapped.__class__.__name__, env.get_wrapper_attr("real")) == ("PendulumEnv", 3)


@pytest.mark.filterwarnings("ignore::UserWarning")  # advice: Pendulum has actions in [-2, 2], and this is a wrapper
def test_it_is_an_environment_as_gymnasium_wants_it():
    check_env(noisy.make(**KWARGS), skip_render_check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 1.0}, "fraction must be"),
        ({"fraction": -0.1}, "fraction must be"),
        ({"fraction": 0.5, "std": float("nan")}, "std must be"),
        ({"env": "FrozenLake-v1", "fraction": 0.5}, "flat Box"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        noisy.make(**{"env": "Pendulum-v1", **arguments})
