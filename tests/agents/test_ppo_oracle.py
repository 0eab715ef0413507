"""PPO's updates against PyTorch: all epochs of two rollouts, dense and sparse, real-valued and numbered actions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ppo_experience import SEED, experience, make, play
from ppo_oracle import PPOOracle, arrays_of

SETTINGS = {
    "plain": {"normalise_observations": False, "scale_rewards": False},
    "usual": {},
    "all": {
        **{"value_clip_range": 0.2, "entropy_coefficient": 0.02, "weight_decay": 1e-3, "batch_size": 24, "gamma": 0.9},
        **{"learning_rate_schedule": "linear", "learning_rate_updates": 20, "activation": "relu", "gae_lambda": 0.8},
        **{"initial_deviation": 0.5, "learning_rate": 3e-2, "clip_range": 0.1},
    },
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seen(experience, t, x):
    """An observation as networks see it after step t: by the mean and deviation of all observations acted on."""
    so_far = experience.observations[: t + 1].astype(np.float64)
    if t == 0 and (x != so_far[0]).any():  # what the first step leads to: nothing has varied, so it is counted in
        so_far = np.stack([so_far[0], x])
    return np.float32((x - so_far.mean(axis=0)) / np.sqrt(so_far.var(axis=0) + 1e-8))


def deviation_of_returns(experience, gamma):
    """Of the discounted returns so far in each episode, over all steps."""
    returns, running = [], {}
    for reward, terminated, truncated, environment in zip(experience.rewards, *experience[3:], strict=True):
        returns.append(gamma * running.get(environment, 0.0) + reward)
        running[environment] = 0.0 if terminated or truncated else returns[-1]
    return np.sqrt(np.var(returns) + 1e-8)


def part(experience, first, last):
    return type(experience)(*(each[first:last] for each in experience))


def learn(oracle, whole, first, last):
    """Do all updates of the rollout from step `first` to `last`; return the actions, clipped."""
    c, steps = oracle.config, range(first, last)
    if c.normalise_observations:
        states, after = ([seen(whole, t, x[t]) for t in steps] for x in (whole.observations, whole.next_observations))
    else:
        states, after = whole.observations[first:last], whole.next_observations[first:last]
    states, after = oracle.seen(np.array(states)), oracle.seen(np.array(after))
    actions = torch.stack([oracle.act(state) for state in states])
    scale = deviation_of_returns(part(whole, 0, last), c.gamma) if c.scale_rewards else 1.0
    oracle.learn(part(whole, first, last), states, after, actions, torch.tensor(whole.rewards[first:last] / scale))
    return actions


@pytest.mark.parametrize(
    ("topology", "settings"),
    [("dense", "plain"), ("dense", "all"), ("unstructured", "usual"), ("unstructured", "all"), ("8x1", "all")],
)
@pytest.mark.parametrize("kind", ["Box", "Discrete"])
def test_all_updates_of_two_rollouts_end_in_the_weights_of_pytorch(kind, topology, settings):
    agent, steps = make(kind, topology, **SETTINGS[settings]), 96
    exact, single = (PPOOracle(agent, SEED, dtype) for dtype in (torch.float64, torch.float32))
    start, whole = arrays_of(agent), experience(2 * steps, environments=3 if settings == "all" else 1)
    for first in (0, steps):
        chosen = np.array(play(agent, part(whole, 0, first + steps), start=first))
        expected, _ = (learn(oracle, whole, first, first + steps).double().numpy() for oracle in (exact, single))
        np.testing.assert_allclose(chosen, expected.clip(-1, 1) if kind == "Box" else expected, atol=1e-3)
        found, wanted, theirs = arrays_of(agent), exact.arrays(), single.arrays()
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            moved = np.linalg.norm(array - start[name])
            error, of_pytorch = (np.linalg.norm(each[name] - array) / moved for each in (found, theirs))
            assert error < max(10 * of_pytorch, 3e-4), (name, error, of_pytorch)
        told = agent.diagnostics()
        assert {name: told[name] for name in exact.told} == pytest.approx(exact.told, rel=1e-3, abs=1e-4)
    c = agent.config
    assert agent.updates == exact.updates == c.updates_after(2 * steps) == 2 * 3 * (96 // c.batch_size)
    assert exact.clipped > 10 and max(exact.norms) > c.max_gradient_norm  # what is to be shown was there
