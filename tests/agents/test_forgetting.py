"""The dynamic-capacity replay memory: what the policy would not do any more is forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from experience import ACTION, OBSERVATION
from test_td3 import make

from rewirl.agents import SACConfig, TD3Config, make_agent
from rewirl.replay import Replay, forgetting


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(forgetting, "CHECK_EVERY", 5)
    monkeypatch.setattr(forgetting, "CHECK_AT_ONCE", 10)


def memory(agent, foreign, own):
    """Transitions of another policy, then of the agent's own."""
    replay, rng = Replay(1000, OBSERVATION, ACTION, 0), np.random.default_rng(0)
    for number in range(foreign + own):
        state = rng.normal(size=OBSERVATION).astype(np.float32)
        action = agent.predict(state[np.newaxis])[0]
        action = -np.sign(action) if number < foreign else action
        replay.add(state, action, 0.0, state, False)
    return replay


def test_the_oldest_go_until_they_are_those_of_the_policy(often):
    agent = make(buffer_distance=0.1, buffer_minimum=20, learning_rate=1e-9, weight_decay=0.0)
    replay = memory(agent, 63, 100)
    for _ in range(4):
        agent.update(replay)
    assert len(replay) == 163
    agent.update(replay)
    assert len(replay) == 93  # ten at a time: of the last ten that went three were foreign, which is still too far


@pytest.mark.parametrize(("distance", "left"), [(0.125, 60), (0.1249, 20)])
def test_the_distance_is_half_the_mean_square_and_as_far_is_near_enough(often, distance, left):
    replay = Replay(100, OBSERVATION, ACTION, 0)
    for _ in range(60):
        replay.add(np.zeros(OBSERVATION), np.full(ACTION, 0.5), 0.0, np.zeros(OBSERVATION), False)
    forgets = forgetting.Forgetting(distance, empty_every=0, minimum=20)
    forgets(replay, 5, lambda states: np.zeros((len(states), ACTION), np.float32))
    assert len(replay) == left


def test_a_minimum_stays(often):
    agent = make(buffer_distance=0.5, buffer_minimum=37)
    replay = memory(agent, 80, 0)
    for _ in range(5):
        agent.update(replay)
    assert len(replay) == 37


def test_without_a_distance_nothing_is_forgotten(often):
    agent = make(buffer_minimum=1)
    replay = memory(agent, 80, 0)
    for _ in range(5):
        agent.update(replay)
    assert len(replay) == 80


@pytest.mark.parametrize("kind", ["td3", "sac"])
def test_emptied_memories_keep_the_newest_and_fill_again(kind):
    config = {"td3": TD3Config, "sac": SACConfig}[kind](
        hidden_sizes=(16,), batch_size=8, buffer_empty_every=4, buffer_minimum=30
    )
    agent = make_agent(kind, config, OBSERVATION, ACTION, 0)
    replay = memory(agent, 20, 60)
    held, rewards = [], np.arange(12.0)
    for reward in rewards:
        agent.update(replay)
        held.append(len(replay))
        state = np.full(OBSERVATION, reward, np.float32)
        replay.add(state, np.zeros(ACTION, np.float32), reward, state, False)
    assert held == [80, 81, 82, 30, 31, 32, 33, 30, 31, 32, 33, 30]
    states, _ = replay.oldest(len(replay))
    assert states[-len(rewards) :, 0].tolist() == rewards.tolist()  # of the thirty-one, the last that were added


@pytest.mark.parametrize(
    ("field", "value"),
    [("buffer_distance", -0.1), ("buffer_distance", np.inf), ("buffer_minimum", 0), ("buffer_empty_every", -1)],
)
def test_impossible_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        TD3Config(**{field: value})


def test_an_empty_memory_stays_empty():
    replay = Replay(10, OBSERVATION, ACTION, 0)
    replay.forget(3)
    assert len(replay) == 0
