"""DQN's update against PyTorch: dense, unstructured and in blocks, with targets over one and several steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dqn_experience import SEED, TOPOLOGIES, experience, make
from dqn_oracle import DQNOracle


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_steps": 3},
        {"n_steps": 3, "double_q": False, "loss": "squared", "batch_size": 133},
        {"loss": "squared", "weight_decay": 1e-3, "adam_epsilon": 3e-4},
    ],
    ids=["double", "3-step", "plain", "decay"],
)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_an_update_has_the_loss_and_the_gradients_of_autograd(topology, settings):
    agent, (replay, transitions) = make(topology, **settings), experience()
    exact, single = (DQNOracle(agent, transitions, SEED, dtype) for dtype in (torch.float64, torch.float32))
    start = flat(agent.networks()["q"])
    agent.update(replay)
    exact.update()
    told, network = agent.diagnostics(), agent.networks()["q"]
    assert told["q_loss"] == pytest.approx(exact.loss, rel=1e-5)
    assert told["target_mean"] == pytest.approx(exact.target_mean, rel=1e-5)
    ensemble = agent._networks.ensemble("q")
    for layer, (weights, bias) in zip(network.layers, exact.gradients, strict=True):
        assert relative(ensemble.gradient(0, f"{layer.name}.values"), weights.reshape(-1)[layer.places()]) < 1e-5
        assert relative(ensemble.gradient(0, f"{layer.name}.bias"), bias) < 1e-5
    single.update()
    found, expected, theirs = flat(network), of_oracle(exact, network, "q"), of_oracle(single, network, "q")
    moved = np.linalg.norm(expected - start)
    error, of_pytorch = np.linalg.norm(found - expected) / moved, np.linalg.norm(theirs - expected) / moved
    assert error < max(5 * of_pytorch, 1e-4), (error, of_pytorch)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("tau", [1.0, 0.3])
def test_updates_end_in_the_weights_of_pytorch_and_the_target_follows_when_it_is_due(topology, tau):
    settings = {"n_steps": 2, "target_update_interval": 5, "tau": tau, "learning_rate": 1e-3}
    settings |= {"learning_rate_schedule": "linear", "learning_rate_updates": 20}
    agent, (replay, transitions) = make(topology, **settings), experience()
    oracle = DQNOracle(agent, transitions, SEED, torch.float64)
    start = flat(agent.networks()["q"])
    for update in range(1, 13):
        before = flat(agent.networks()["target_q"])
        agent.update(replay)
        oracle.update()
        after = flat(agent.networks()["target_q"])
        assert np.array_equal(before, after) == (update % 5 != 0)
        assert np.array_equal(after, flat(agent.networks()["q"])) == (update % 5 == 0 and tau == 1)
    for name in ("q", "target_q"):
        network = agent.networks()[name]
        expected = of_oracle(oracle, network, name)
        assert np.linalg.norm(flat(network) - expected) < 1e-3 * np.linalg.norm(expected - start), name


def flat(network):
    """Values and biases of all layers as one vector, float64."""
    return np.concatenate(
        [np.array(array, np.float64) for layer in network.layers for array in (layer.values, layer.bias)]
    )


def of_oracle(oracle, network, name):
    theirs, parts = oracle.networks[name], []
    for layer, weights, bias in zip(network.layers, theirs.weights, theirs.biases, strict=True):
        parts += [weights.detach().double().numpy().reshape(-1)[layer.places()], bias.detach().double().numpy()]
    return np.concatenate(parts)
