"""The updates of stream-x against PyTorch: dense, sparse, and with episodes that end either way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stream_experience import make, play, steps
from stream_oracle import StreamOracle


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            **{"truncated_is_terminal": False, "gamma": 0.9, "trace_decay": 0.5, "initial_zeros": 0.5},
            **{"learning_rate": 1e-3, "learning_rate_schedule": "linear", "learning_rate_updates": 50},
        },
    ],
    ids=["papers", "others"],
)
@pytest.mark.parametrize("topology", ["dense", "rows", "sparser"])
@pytest.mark.parametrize("name", ["stream-ac", "stream-q", "stream-sarsa"])
def test_steps_end_in_the_weights_and_traces_of_autograd(name, topology, changes):
    if name != "stream-ac":
        changes = {**changes, "epsilon_steps": 60}
    agent = make(name, topology, **changes)
    oracle = StreamOracle(agent)
    starts = {each: {n: v.copy() for n, v in network.arrays()} for each, network in agent.networks().items()}
    for step in steps(40):
        observation, reward, after, terminated, truncated = step
        if name == "stream-ac":
            unclipped = _unclipped(agent)
            action = play(agent, step)
            assert np.array_equal(action, np.clip(unclipped[0], -1, 1))
            learn = oracle.actor_critic(unclipped[0])
        else:
            action = play(agent, step)
            follows = agent._next_action if name == "stream-sarsa" else None  # None at an end: the best stands in
            reset = name == "stream-q" and not agent._greedy
            learn = oracle.q(action, follows, reset)
        delta = oracle.learn(observation, reward, after, terminated, truncated, learn)
        assert agent.diagnostics()["td_error"] == pytest.approx(delta, rel=1e-3, abs=1e-4)
    for each, network in agent.networks().items():
        theirs = oracle.networks[each]
        for index, layer in enumerate(network.layers):
            weights = theirs.weights[index].detach().numpy().reshape(-1)[layer.places()]
            moved = np.linalg.norm(weights - starts[each][f"{layer.name}.values"])
            assert np.linalg.norm(layer.values - weights) < 1e-3 * moved, (each, layer.name)
            bias = theirs.biases[index].detach().numpy()
            assert np.linalg.norm(layer.bias - bias) < 1e-3 * np.linalg.norm(bias) + 1e-6
            trace = theirs.traces[index].numpy().reshape(-1)[layer.places()]
            assert np.linalg.norm(layer.moments[0] - trace) <= 1e-3 * np.linalg.norm(trace) + 1e-6


def _unclipped(agent):
    """A list that gets the next action before it is clipped."""
    kept, sample = [], agent._normal.sample

    def keeping(outputs, rng):
        kept.append(sample(outputs, rng).copy())
        agent._normal.sample = sample
        return agent._normal._drawn

    agent._normal.sample = keeping
    return kept
