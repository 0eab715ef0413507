"""Targets over several steps."""

from __future__ import annotations

import numpy as np
import pytest
from experience import bits, random_replay, through_a_file
from test_td3 import make

from rewirl.agents import SACConfig, TD3Config, make_agent
from rewirl.nn import Network, unpack
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


def trajectory(replay, size=7):
    """Nine transitions: four end in a terminal state, two at a time limit, three go on. Returns what a float64 has."""
    rng = np.random.default_rng(3)
    ends = [None, None, None, "terminated", None, "truncated", None, None, None]
    rows = []
    for end in ends:
        row = rng.normal(size=size), rng.uniform(-1, 1, 3), rng.normal(), rng.normal(size=size)
        replay.add(*row, end == "terminated", end == "truncated")
        rows.append((*row, end))
    return rows


def window(rows, first, steps):
    """The window that begins with a transition: its rewards, its last transition, and those before it."""
    last = first
    while last - first < steps - 1 and last + 1 < len(rows) and rows[last][4] is None:
        last += 1
    return [row[2] for row in rows[first : last + 1]], last, list(range(first, last))


@pytest.mark.parametrize("steps", [2, 3, 4])
@pytest.mark.parametrize("kind", ["td3", "sac", "sac-entropy"])
def test_targets_of_windows_are_those_of_a_trajectory_written_out(kind, steps):
    """y = sum of gamma^k r_k + gamma^n V(s_n), with V 0 at a terminal state, and with the entropies between if wanted:
    Tan et al. 2023. The networks are asked state by state; what they draw is recorded on the way."""
    common = {"hidden_sizes": (20, 10), "batch_size": 40, "gamma": 0.8, "n_steps": steps, "topology": DENSE}
    entropy = kind == "sac-entropy"
    if kind == "td3":
        agent = make_agent("td3", TD3Config(**common, policy_noise=0.0), 7, 3, 0)
    else:
        agent = make_agent("sac", SACConfig(**common, temperature=0.7, n_step_entropy=entropy), 7, 3, 0)
    replay = Replay(20, 7, 3, seed=0)
    rows = trajectory(replay)
    drawn = np.random.Generator(np.random.PCG64DXSM())
    drawn.bit_generator.state = replay.state()[1]["rng"]
    firsts = drawn.integers(len(rows), size=40)
    samples = []
    if kind != "td3":
        sample = agent._samples.sample

        def recorded(raw, out, rng):
            sample(raw, out, rng)
            mean, log_std = np.split(unpack(raw, 40).astype(np.float64), 2, axis=1)
            actions = unpack(out, 40).astype(np.float64)
            before = np.arctanh(actions)
            density = -(((before - mean) / np.exp(log_std)) ** 2) / 2 - log_std - np.log(2 * np.pi) / 2
            samples.append((actions, (density - np.log(1 - actions**2)).sum(axis=1), mean))

        agent._samples.sample = recorded
    networks = {
        name: Network.from_state(*network.state(), trainable=False) for name, network in agent.networks().items()
    }
    agent.update(replay)
    expected = np.zeros(40)
    for i, first in enumerate(firsts):
        rewards, last, between = window(rows, first, steps)
        expected[i] = sum(0.8**k * reward for k, reward in enumerate(rewards))
        if rows[last][4] != "terminated":
            state = np.float32(rows[last][3])
            if kind == "td3":
                action, log_probability = np.tanh(networks["target_actor"].act(state)), 0.0
            else:
                action, log_probability = np.float32(samples[0][0][i]), samples[0][1][i]
            x = np.concatenate([state, action])
            value = min(networks[name].act(x)[0] for name in ("target_critic1", "target_critic2"))
            expected[i] += 0.8 ** len(rewards) * (value - 0.7 * log_probability)
        for k, passed in enumerate(between if entropy else []):
            _, log_probability, mean = samples[1 + k]
            assert mean[i] == pytest.approx(networks["actor"].act(np.float32(rows[passed][3]))[:3], abs=1e-5)
            expected[i] -= 0.7 * 0.8 ** (k + 1) * log_probability[i]
    assert unpack(agent._y, 40)[:, 0] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert len(samples) == {"td3": 0, "sac": 2, "sac-entropy": 1 + steps}[kind]


def test_an_agent_with_the_entropies_between_goes_on_to_the_bit_and_without_n_steps_it_is_refused():
    common = {"hidden_sizes": (20, 10), "batch_size": 30, "topology": DENSE, "n_steps": 3, "n_steps_after": 4}
    agent, again, plain = (
        make_agent("sac", SACConfig(**common, n_step_entropy=wanted), 7, 3, 0) for wanted in (True, True, False)
    )
    replays = [random_replay() for _ in range(3)]
    for update in range(8):
        if update == 6:
            again.load_state(*through_a_file(agent.state()))
            replays[1].load_state(*through_a_file(replays[0].state()))
        agent.update(replays[0])
        if update >= 6:
            again.update(replays[1])
        plain.update(replays[2])
        assert (bits(agent) == bits(plain)) == (update < 4)  # it counts from the first update with windows on
    assert bits(again) == bits(agent)
    with pytest.raises(ValueError, match="give n_steps of 2 or more"):
        SACConfig(n_step_entropy=True)


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
