"""Tiny problems with known values: if an agent cannot solve these, nothing above them matters."""

from __future__ import annotations

import numpy as np
import pytest

from rewirl.agents import SACConfig, TD3Config, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

GAMMA = 0.5
DENSE = TopologyConfig(sparsity=0.0, rule="static")
STATIC = TopologyConfig(sparsity=0.4, rule="static")
REWIRED = TopologyConfig(sparsity=0.4, adapt_every=40, adapt_fraction=0.05, adapt_end=600)
COMMON = {"hidden_sizes": (32, 32), "batch_size": 64, "gamma": GAMMA, "tau": 0.05, "learning_rate": 3e-3}
# So small a temperature that the values are those of the rewards alone.
SAC = {**COMMON, "temperature": 1e-3, "target_update_interval": 1}
AGENTS = {
    "td3": TD3Config(topology=DENSE, **COMMON),
    "static-td3": TD3Config(topology=STATIC, **COMMON),
    "ds-td3": TD3Config(topology=REWIRED, **COMMON),
    "sac": SACConfig(topology=DENSE, **SAC),
    "static-sac": SACConfig(topology=STATIC, **SAC),
    "ds-sac": SACConfig(topology=REWIRED, **{**SAC, "tau": 1.0, "target_update_interval": 20}),
}


@pytest.fixture(params=list(AGENTS))
def agent(request):
    agent = make_agent(request.param, AGENTS[request.param], observation_size=1, action_size=1, seed=0)
    yield agent
    agent.close()


def learn(agent, transitions, updates=800):
    """Train on transitions (observation, action, reward, next observation, terminated) of numbers."""
    replay = Replay(len(transitions), 1, 1, seed=0)
    for observation, action, reward, next_observation, terminated in transitions:
        replay.add(np.array([observation]), np.array([action]), reward, np.array([next_observation]), terminated)
    for _ in range(updates):
        agent.update(replay)


def actions(count=200):
    return np.random.default_rng(0).uniform(-1, 1, count)


def q(agent, observation, action):
    """The values of both critics."""
    x = np.array([observation, action], dtype=np.float32)
    return [float(agent.networks()[name].act(x)[0]) for name in ("critic1", "critic2")]


def policy(agent, observation):
    return float(agent.predict(np.array([[observation]], dtype=np.float32))[0, 0])


def test_a_single_step_of_reward_one_is_worth_one(agent):
    learn(agent, [(0.0, a, 1.0, 0.0, True) for a in actions()])
    for a in (-0.9, 0.0, 0.9):
        assert q(agent, 0.0, a) == pytest.approx([1, 1], abs=0.05)


def test_rewards_are_told_apart_by_observation(agent):
    learn(agent, [(s, a, s, 0.0, True) for a in actions() for s in (-1.0, 1.0)])
    for s in (-1.0, 1.0):
        assert q(agent, s, 0.3) == pytest.approx([s, s], abs=0.1)


def test_a_reward_one_step_ahead_is_discounted_once(agent):
    learn(agent, [t for a in actions() for t in ((0.0, a, 0.0, 1.0, False), (1.0, a, 1.0, 0.0, True))])
    assert q(agent, 1.0, 0.2) == pytest.approx([1, 1], abs=0.05)
    assert q(agent, 0.0, 0.2) == pytest.approx([GAMMA, GAMMA], abs=0.05)


def test_an_episode_cut_short_by_a_time_limit_is_worth_what_would_have_come(agent):
    """One state for ever with reward 1 is worth 1 / (1 - gamma), however many of its episodes were truncated."""
    learn(agent, [(0.0, a, 1.0, 0.0, False) for a in actions()])
    assert q(agent, 0.0, 0.2) == pytest.approx([1 / (1 - GAMMA)] * 2, abs=0.1)


def test_the_policy_moves_to_the_rewarded_action(agent):
    learn(agent, [(0.0, a, a, 0.0, True) for a in actions()])
    assert policy(agent, 0.0) > (0.95 if "td3" in agent.name else 0.9)  # noise keeps the mean of SAC from the edge
    assert q(agent, 0.0, -0.5) == pytest.approx([-0.5, -0.5], abs=0.1)


def test_the_policy_depends_on_the_observation(agent):
    """The best action is half the observation."""
    learn(agent, [(s, a, -((a - s / 2) ** 2), 0.0, True) for a in actions() for s in (-1.0, 0.0, 1.0)])
    for s in (-1.0, 0.0, 1.0):
        assert policy(agent, s) == pytest.approx(s / 2, abs=0.2)
