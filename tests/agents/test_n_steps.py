"""Targets over several steps."""

from __future__ import annotations

import numpy as np
import pytest
from experience import random_replay
from test_td3 import make

from rewirl.agents import SACConfig, TD3Config, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

DENSE = TopologyConfig(sparsity=0.0, rule="static")
GAMMA = 0.5


def test_windows_begin_when_they_are_to(monkeypatch):
    asked = []
    sample = Replay.sample

    def recorded(self, batch, *arguments):
        asked.append(arguments)
        return sample(self, batch, *arguments)

    monkeypatch.setattr(Replay, "sample", recorded)
    agent, replay = make(n_steps=3, n_steps_after=4, gamma=0.9), random_replay()
    for _ in range(6):
        agent.update(replay)
    assert asked == [(1, 0.9)] * 4 + [(3, 0.9)] * 2


@pytest.mark.parametrize("kind", ["td3", "sac"])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_reward_three_steps_ahead_is_discounted_twice_however_many_steps_a_target_has(kind, steps):
    common = {"hidden_sizes": (32, 32), "batch_size": 64, "gamma": GAMMA, "learning_rate": 3e-3, "topology": DENSE}
    config = {
        "td3": TD3Config(**common, tau=0.05, n_steps=steps),
        "sac": SACConfig(**common, tau=0.05, n_steps=steps, temperature=1e-3, target_update_interval=1),
    }[kind]
    agent = make_agent(kind, config, 1, 1, seed=0)
    replay = Replay(600, 1, 1, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        for state, reward, over in ((-1.0, 0.0, False), (0.0, 0.0, False), (1.0, 1.0, True)):
            replay.add(np.array([state]), rng.uniform(-1, 1, 1), reward, np.array([state + 1]), over)
    for _ in range(900):
        agent.update(replay)
    for state, value in ((-1.0, GAMMA**2), (0.0, GAMMA), (1.0, 1.0)):
        x = np.array([state, 0.2], dtype=np.float32)
        for name in ("critic1", "critic2"):
            assert agent.networks()[name].act(x)[0] == pytest.approx(value, abs=0.07)


def test_long_windows_reach_further_back_in_the_same_updates():
    """Of targets that hardly move, only windows that reach the reward can say what a state is worth."""
    values = {}
    for steps in (1, 3):
        config = TD3Config(
            hidden_sizes=(32, 32), batch_size=64, gamma=1.0, learning_rate=3e-3, topology=DENSE, tau=1e-6, n_steps=steps
        )
        agent = make_agent("td3", config, 1, 1, seed=0)
        replay = Replay(600, 1, 1, seed=0)
        for _ in range(200):
            for state, reward, over in ((-1.0, 0.0, False), (0.0, 0.0, False), (1.0, 5.0, True)):
                replay.add(np.array([state]), np.zeros(1), reward, np.array([state + 1]), over)
        for _ in range(600):
            agent.update(replay)
        values[steps] = float(agent.networks()["critic1"].act(np.array([-1.0, 0.0], np.float32))[0])
    assert values[3] == pytest.approx(5, abs=0.3)
    assert values[1] < 1


@pytest.mark.parametrize(("field", "value"), [("n_steps", 0), ("n_steps_after", -1)])
def test_impossible_numbers_of_steps_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        TD3Config(**{field: value})
