"""Promises of exploration that wanders: the process by hand, the action it makes, the same after a resume."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rewirl
from rewirl.agents import TD3Config, make_agent
from rewirl.agents.exploration import OrnsteinUhlenbeck

SMALL: dict[str, Any] = {
    **{"hidden_sizes": (8,), "learning_starts": 20, "batch_size": 4, "threads": 1, "buffer_size": 100},
    **{"exploration": "ornstein-uhlenbeck", "exploration_noise": 0.5},
}


def test_the_process_by_hand():
    process, rng = OrnsteinUhlenbeck(2, 0.5), np.random.default_rng(3)
    again, x = np.random.default_rng(3), np.zeros(2)
    for _ in range(5):
        x = x - 0.15 * 0.01 * x + 0.5 * 0.1 * again.standard_normal(2)
        noise = process.step(rng)
        assert noise.dtype == np.float32
        np.testing.assert_allclose(noise, x, rtol=1e-6)


def test_each_environment_has_a_process_of_its_own():
    processes, rng = OrnsteinUhlenbeck(2, 0.5), np.random.default_rng(3)
    again, x = np.random.default_rng(3), np.zeros((3, 2))
    for turn in (0, 1, 2, 0, 1, 2, 0, 2, 2):
        x[turn] = x[turn] - 0.15 * 0.01 * x[turn] + 0.5 * 0.1 * again.standard_normal(2)
        np.testing.assert_allclose(processes.step(rng, turn), x[turn], rtol=1e-6)
    saved = processes.state()
    other = OrnsteinUhlenbeck(2, 0.5)
    other.load_state(saved)
    assert other.state() == saved and np.allclose(saved, x)
    assert other.step(np.random.default_rng(1), 2).tobytes() == processes.step(np.random.default_rng(1), 2).tobytes()


def test_it_wanders_slowly_and_as_far_as_it_says():
    process, rng = OrnsteinUhlenbeck(200, 0.5), np.random.default_rng(0)
    noise = np.stack([process.step(rng) for _ in range(6000)])[3000:]
    assert noise.std() == pytest.approx(0.5 / math.sqrt(0.3), rel=0.1)
    assert np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1] > 0.99


def test_an_action_is_that_of_the_policy_and_the_noise():
    config = TD3Config(hidden_sizes=(8,), batch_size=4, exploration="ornstein-uhlenbeck", exploration_noise=5.0)
    agent = make_agent("td3", config, 3, 2, seed=1)
    observation = np.ones(3, np.float32)
    policy = agent.predict(observation[np.newaxis])[0].copy()
    arrays, values = agent.state()
    actions = np.stack([agent.explore(observation) for _ in range(40)])
    assert actions.dtype == np.float32 and np.abs(actions).max() == 1
    process = OrnsteinUhlenbeck(2, 5.0)
    other = make_agent("td3", config, 3, 2, seed=9)
    other.load_state(arrays, values)
    rng = other._streams["exploration"]
    expected = np.stack([np.clip(policy + process.step(rng), -1, 1) for _ in range(40)])
    np.testing.assert_array_equal(actions, expected)
    assert agent.predict(observation[np.newaxis])[0].tobytes() == policy.tobytes()
    agent.close()
    other.close()


@pytest.mark.parametrize("n_envs", [1, 3])
def test_it_goes_on_after_a_resume_as_if_never_stopped(tmp_path, n_envs):
    with rewirl.DSTD3("Pendulum-v1", **SMALL, n_envs=n_envs) as whole:
        whole.learn(90)
        expected = whole.replay.actions.tobytes()
        process = whole._run.agent.state()[1]["wandering"]
        assert len(process) == n_envs  # Pendulum has one action
    with rewirl.DSTD3("Pendulum-v1", **SMALL, n_envs=n_envs) as first:
        first.learn(50, run_dir=tmp_path / "run", eval_every=0)
    with rewirl.resume(tmp_path / "run") as second:
        assert second.learn(40).replay.actions.tobytes() == expected


@pytest.mark.parametrize(
    "saved", [None, [], [1.0], [1.0, math.nan], [1.0, "2"], [[]], [[1.0, 2.0], [3.0]], [[1.0, 2.0], 3.0]]
)
def test_a_saved_process_that_cannot_be_is_refused(saved):
    with pytest.raises(ValueError, match="the saved exploration noise"):
        OrnsteinUhlenbeck(2, 0.5).load_state(saved)
    with pytest.raises(ValueError, match="exploration must be"):
        TD3Config(exploration="pink")  # type: ignore[arg-type]
