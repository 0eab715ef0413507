"""Kinds of hidden layers other than plain ones: updates against autograd; agents train, resume and are exported."""

from __future__ import annotations

import masked
import numpy as np
import pytest
import torch
from experience import ACTION, OBSERVATION, bits, gradient, observations, random_replay, through_a_file
from masked import MaskedMLP
from td3_oracle import TD3Oracle

import rewirl
from rewirl import agents
from rewirl.agents import DQNConfig, SACConfig, TD3Config
from rewirl.export import interpret
from rewirl.export.plan import plan_of
from rewirl.nn import LayerNorm, Linear, Multiply, ReLU, Tanh, initialised, layered, mlp
from rewirl.topology import TopologyConfig
from rewirl.training.trained_policy import TrainedPolicy

KINDS = {"td3": TD3Config, "sac": SACConfig, "dqn": DQNConfig}


class MaskedNormed(MaskedMLP):
    """ReLU(LayerNorm(W h + b)), layer for layer."""

    def __init__(self, network, dtype):
        super().__init__(network, dtype)
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(len(b), dtype=dtype) for b in list(self.biases)[:-1])

    def forward(self, x):
        layers = list(zip(self.weights, self.biases, self.masks, strict=True))
        for (weight, bias, mask), norm in zip(layers[:-1], self.norms, strict=True):
            x = torch.relu(norm(torch.nn.functional.linear(x, weight * mask, bias)))
        weight, bias, mask = layers[-1]
        return torch.nn.functional.linear(x, weight * mask, bias)


class MaskedProducts(MaskedMLP):
    """f(W1 h) * f(W2 h), layer for layer."""

    f = staticmethod(torch.tanh)

    def forward(self, x):
        layers = list(zip(self.weights, self.biases, self.masks, strict=True))
        for first, second in zip(layers[:-1:2], layers[1:-1:2], strict=True):
            x, y = (self.f(torch.nn.functional.linear(x, w * mask, b)) for w, b, mask in (first, second))
            x = x * y
        weight, bias, mask = layers[-1]
        return torch.nn.functional.linear(x, weight * mask, bias)


class MaskedProductsOfReLUs(MaskedProducts):
    """The same with f = ReLU."""

    f = staticmethod(torch.relu)


ORACLES = {"hadamard-tanh": MaskedProducts, "hadamard-relu": MaskedProductsOfReLUs, "layernorm-relu": MaskedNormed}


def make(name="ds-td3", hidden="hadamard-tanh", seed=4, **topology):
    config = KINDS[name.removeprefix("ds-")](
        hidden_sizes=(24, 16),
        hidden_layers=hidden,
        batch_size=32,
        topology=TopologyConfig(**({"sparsity": 0.6, "rule": "rigl", "adapt_every": 3} | topology)),
    )
    return agents.make_agent(name, config, OBSERVATION, ACTION, seed)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize("hidden", ORACLES)
def test_an_update_has_the_gradients_of_autograd(hidden, sparsity, monkeypatch):
    monkeypatch.setattr(masked, "MaskedMLP", ORACLES[hidden])
    topology = TopologyConfig(sparsity=sparsity, rule="static")
    config = TD3Config(hidden_sizes=(40, 24), hidden_layers=hidden, batch_size=50, policy_delay=1, topology=topology)
    agent, replay = agents.TD3("td3", config, OBSERVATION, ACTION, 0), random_replay(0)
    rows = replay.transitions.astype(np.float64)
    o, a = OBSERVATION, ACTION
    parts = rows[:, :o], rows[:, o : o + a], rows[:, -2:-1], rows[:, o + a : -2], 1 - rows[:, -1:]
    oracle = TD3Oracle(agent, parts, 0, torch.float64)
    agent.update(replay)
    oracle.update()
    told = agent.diagnostics()
    assert [told["critic1_loss"], told["critic2_loss"]] == pytest.approx(oracle.critic_losses, rel=3e-6)
    assert told["policy_value"] == pytest.approx(oracle.policy_value, rel=1e-5)
    for name, layers in oracle.gradients.items():
        for layer, (weights, bias) in zip(agent.networks()[name].layers, layers, strict=True):
            for array, expected in (("values", weights.reshape(-1)[layer.places()]), ("bias", bias)):
                found = gradient(agent, name, f"{layer.name}.{array}")
                assert np.linalg.norm(found - expected) < 2e-5 * np.linalg.norm(expected), (name, layer.name)


def test_what_the_kinds_are_made_of():
    assert layered(3, (4, 5), 2, "relu") == mlp((3, 4, 5, 2))
    assert layered(3, (4, 5), 2, "tanh") == mlp((3, 4, 5, 2), activation=Tanh)
    operations = layered(3, (4, 5), 2, "hadamard-relu")
    assert [type(each) for each in operations] == [*[Linear, ReLU, Linear, ReLU, Multiply] * 2, Linear]
    normed = layered(3, (4, 5), 2, "layernorm-relu")
    assert [type(each) for each in normed] == [*[Linear, LayerNorm, ReLU] * 2, Linear]
    network = initialised(3, operations, {}, np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=3).astype(np.float32)
    h = x.astype(np.float64)
    for name in ("hidden1", "hidden2"):
        first, second = (network.layer(f"{name}{half}") for half in "ab")
        h = np.maximum(first.weights() @ h + first.bias, 0) * np.maximum(second.weights() @ h + second.bias, 0)
    output = network.layer("output")
    np.testing.assert_allclose(network.act(x), output.weights() @ h + output.bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("hidden", "layers"),
    [("hadamard-tanh", "hidden1a hidden1b hidden2a hidden2b output"), ("layernorm-relu", "hidden1 hidden2 output")],
)
@pytest.mark.parametrize("name", ["ds-td3", "ds-sac", "ds-dqn"])
@pytest.mark.parametrize("structure", ["unstructured", "4x1"])
def test_agents_are_rewired_and_resume_to_the_bit(name, structure, hidden, layers):
    through, replay = make(name, hidden, structure=structure, drop="magnitude"), random_replay()
    before = [layer.connections for layer in through.networks()[through.ONLINE[0]].layers]
    for _ in range(5):
        through.update(replay)
    saved, kept = through_a_file(through.state()), through_a_file(replay.state())
    for _ in range(5):
        through.update(replay)
    other, replay = make(name, hidden, seed=9, structure=structure, drop="magnitude"), random_replay(3)
    other.load_state(*saved)
    replay.load_state(*kept)
    for _ in range(5):
        other.update(replay)
    assert bits(other) == bits(through)
    network = through.networks()[through.ONLINE[0]]
    assert [layer.connections for layer in network.layers] == before and through.diagnostics()["rewired"] > 0
    assert [layer.name for layer in network.layers] == layers.split()
    if hidden == "layernorm-relu":  # a norm mixes what tasks have made
        with pytest.raises(ValueError, match="learns more than connections and biases: linear, layer_norm, relu"):
            through.freeze()
        return
    task = through.predict(observations(3))
    assert through.freeze() == 1 and np.array_equal(through.policy_of(1).predict(observations(3)), task)


@pytest.mark.parametrize("hidden", ["hadamard-tanh", "layernorm-relu"])
def test_a_policy_is_saved_loaded_and_exported(tmp_path, hidden):
    with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(12,), hidden_layers=hidden, learning_starts=10) as agent:
        agent.learn(30)
        agent.save(tmp_path / "policy")
        seen = np.stack([agent.observation_space.sample() for _ in range(4)])
        acts = agent.predict(seen)
    assert np.array_equal(rewirl.load(tmp_path / "policy").predict(seen), acts)
    plan = plan_of(TrainedPolicy.load(tmp_path / "policy"))
    np.testing.assert_allclose(interpret.act(plan, seen), acts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hidden", ["hadamard-relu", "layernorm-relu"])
def test_dormant_units_of_other_kinds_are_not_recycled(hidden):
    with pytest.raises(ValueError, match=f"those of .* are {hidden}; give hidden_layers relu, or leave redo"):
        agents.make_agent("td3", TD3Config(hidden_layers=hidden, redo_every=5), OBSERVATION, ACTION, 0)
