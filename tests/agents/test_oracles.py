from __future__ import annotations

import numpy as np
import pytest
import torch
from experience import gradient
from sac_oracle import SACOracle
from td3_oracle import TD3Oracle

from rewirl.agents import SAC, TD3, SACConfig, TD3Config
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

SEED = 5


def random_transitions(observation_size, action_size, count=500):
    rng = np.random.default_rng(SEED)
    return (
        rng.normal(size=(count, observation_size)),
        rng.uniform(-1, 1, (count, action_size)),
        rng.normal(size=(count, 1)),
        rng.normal(size=(count, observation_size)),
        rng.random((count, 1)) < 0.1,
    )


PAPER = {"hidden_sizes": (256, 256), "observation_size": 17, "action_size": 6, "batch_size": 100}
ODD = {"hidden_sizes": (37, 130, 5), "observation_size": 3, "action_size": 1, "batch_size": 133}


KINDS = {"td3": (TD3, TD3Config, TD3Oracle), "sac": (SAC, SACConfig, SACOracle)}


def make(kind, shape, sparsity, **config):
    shape = dict(shape)
    observation_size, action_size = shape.pop("observation_size"), shape.pop("action_size")
    agent_class, config_class, _ = KINDS[kind]
    topology = TopologyConfig(sparsity=sparsity, rule="static")
    agent = agent_class(kind, config_class(topology=topology, **shape, **config), observation_size, action_size, SEED)
    transitions = random_transitions(observation_size, action_size)
    replay = Replay(1000, observation_size, action_size, SEED)
    for observation, action, (reward,), next_observation, (terminated,) in zip(*transitions, strict=True):
        replay.add(observation, action, reward, next_observation, terminated)
    return agent, replay, transitions


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's threads cost more than they save on networks of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def total(agent):
    return sum(np.prod(layer.shape) for layer in agent.networks()["critic1"].layers)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# Settings that make every term of an update count.
ALL_TERMS = {
    "td3": {"policy_delay": 1, "policy_noise": 0.9, "noise_clip": 1.2, "weight_decay": 2e-4},
    "sac": {"target_update_interval": 1, "tau": 0.005, "temperature": 0.7, "weight_decay": 2e-4},
}


@pytest.mark.parametrize("shape", [PAPER, ODD], ids=["paper", "odd"])
@pytest.mark.parametrize("sparsity", [0.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_has_the_losses_and_gradients_of_autograd(kind, shape, sparsity):
    agent, replay, transitions = make(kind, shape, sparsity, **ALL_TERMS[kind])
    assert (agent.networks()["critic1"].connections < 0.6 * total(agent)) == (sparsity > 0)
    oracle = KINDS[kind][2](agent, transitions, SEED, torch.float64)
    agent.update(replay)
    oracle.update()
    told = agent.diagnostics()
    assert [told["critic1_loss"], told["critic2_loss"]] == pytest.approx(oracle.critic_losses, rel=2e-6)
    assert told["target_mean"] == pytest.approx(oracle.target_mean, rel=2e-6)
    assert told["policy_value"] == pytest.approx(oracle.policy_value, rel=2e-6 if kind == "td3" else 3e-6)
    if kind == "sac":
        assert told["entropy"] == pytest.approx(oracle.entropy, rel=3e-6)
    networks = agent.networks()
    for name, layers in oracle.gradients.items():
        tolerance = 2e-6 if name != "actor" else 1e-5  # the actor's follow a step of Adam on the critic
        for layer, (weights, bias) in zip(networks[name].layers, layers, strict=True):
            of_values, of_bias = (gradient(agent, name, f"{layer.name}.{array}") for array in ("values", "bias"))
            assert relative(of_values, weights.reshape(-1)[layer.places()]) < tolerance, name
            assert relative(of_bias, bias) < tolerance, name


# What fifty updates add to one, the optimiser and the targets, does not depend on how large a dense layer is.
@pytest.mark.parametrize(
    ("shape", "sparsity"), [(PAPER, 0.5), (ODD, 0.5), (ODD, 0.0)], ids=["paper-sparse", "odd-sparse", "odd-dense"]
)
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("td3", {"weight_decay": 0.0}),
        ("td3", {"weight_decay": 2e-4}),
        ("sac", {"temperature": 0.2, "target_update_interval": 10}),
        ("sac", {"temperature": "auto", "target_update_interval": 1, "tau": 0.005, "weight_decay": 2e-4}),
    ],
    ids=["td3", "td3-decay", "sac-hard", "sac-auto"],
)
def test_fifty_updates_end_in_the_weights_of_pytorch(kind, config, shape, sparsity):
    """As close to float64 as PyTorch's own float32 is, measured against how far each network has moved.

    Where the input of a ReLU is zero but for rounding, it may fall to either side, in PyTorch's float32 too; that
    happens to one critic at most with this seed, and shows in its target. (With seed 3 both float32 runs have it
    early enough to reach the actor, and with seed 2 only ours has, in one of the eight cases.)
    """
    agent, replay, transitions = make(kind, shape, sparsity, **config)
    exact, single = (KINDS[kind][2](agent, transitions, SEED, dtype) for dtype in (torch.float64, torch.float32))
    start = {name: flat(network, lambda index, layer: (layer.values, layer.bias)) for name, network in networks(agent)}
    for _ in range(50):
        agent.update(replay)
        exact.update()
        single.update()
    errors, of_pytorch = [], []
    for name, network in networks(agent):
        found = flat(network, lambda index, layer: (layer.values, layer.bias))
        expected, theirs = (flat(network, connections_of(oracle, name)) for oracle in (exact, single))
        moved = np.linalg.norm(expected - start[name])
        errors.append(np.linalg.norm(found - expected) / moved)
        of_pytorch.append(np.linalg.norm(theirs - expected) / moved)
    assert np.median(np.array(errors) / of_pytorch) < 2
    assert np.sort(errors)[-3] < 5e-5, errors
    assert max(errors) < 5e-3, errors


def networks(agent):
    return list(agent.networks().items())


def flat(network, parts):
    """All weights of connections and biases of a network as one vector, float64."""
    arrays = [array for index, layer in enumerate(network.layers) for array in parts(index, layer)]
    return np.concatenate([np.array(array, dtype=np.float64) for array in arrays])


def connections_of(oracle, name):
    def parts(index, layer):
        weights, biases = oracle.parameters(name, index)
        return weights.reshape(-1)[layer.places()], biases

    return parts
