"""Hidden layers with a layer norm before the ReLU: updates against autograd; agents train, resume and are exported."""

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
from rewirl.nn import LayerNorm, Linear, ReLU, layered
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


def make(name="ds-td3", seed=4, **topology):
    config = KINDS[name.removeprefix("ds-")](
        hidden_sizes=(24, 16),
        hidden_layers="layernorm-relu",
        batch_size=32,
        topology=TopologyConfig(**({"sparsity": 0.6, "rule": "rigl", "adapt_every": 3} | topology)),
    )
    return agents.make_agent(name, config, OBSERVATION, ACTION, seed)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_an_update_has_the_gradients_of_autograd(sparsity, monkeypatch):
    monkeypatch.setattr(masked, "MaskedMLP", MaskedNormed)
    topology = TopologyConfig(sparsity=sparsity, rule="static")
    config = TD3Config(
        hidden_sizes=(40, 24), hidden_layers="layernorm-relu", batch_size=50, policy_delay=1, topology=topology
    )
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


def test_what_the_networks_are_made_of():
    operations = layered(3, (4, 5), 2, "layernorm-relu")
    assert [type(each) for each in operations] == [*[Linear, LayerNorm, ReLU] * 2, Linear]
    assert [each.name for each in operations if isinstance(each, Linear)] == ["hidden1", "hidden2", "output"]


@pytest.mark.parametrize("name", ["ds-td3", "ds-sac", "ds-dqn"])
@pytest.mark.parametrize("structure", ["unstructured", "4x1"])
def test_agents_are_rewired_and_resume_to_the_bit(name, structure):
    through, replay = make(name, structure=structure, drop="magnitude"), random_replay()
    before = [layer.connections for layer in through.networks()[through.ONLINE[0]].layers]
    for _ in range(5):
        through.update(replay)
    saved, kept = through_a_file(through.state()), through_a_file(replay.state())
    for _ in range(5):
        through.update(replay)
    other, replay = make(name, seed=9, structure=structure, drop="magnitude"), random_replay(3)
    other.load_state(*saved)
    replay.load_state(*kept)
    for _ in range(5):
        other.update(replay)
    assert bits(other) == bits(through)
    network = through.networks()[through.ONLINE[0]]
    assert [layer.connections for layer in network.layers] == before and through.diagnostics()["rewired"] > 0
    assert through.diagnostics()[f"{through.ONLINE[0]}_effective_rank"] > 1
    assert through.predict(observations(3)).shape[0] == 3
    with pytest.raises(ValueError, match="learns more than connections and biases: linear, layer_norm, relu"):
        through.freeze()


def test_a_policy_is_saved_loaded_and_exported(tmp_path):
    with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(12,), hidden_layers="layernorm-relu", learning_starts=10) as agent:
        agent.learn(30)
        agent.save(tmp_path / "policy")
        seen = np.stack([agent.observation_space.sample() for _ in range(4)])
        acts = agent.predict(seen)
    assert np.array_equal(rewirl.load(tmp_path / "policy").predict(seen), acts)
    plan = plan_of(TrainedPolicy.load(tmp_path / "policy"))
    np.testing.assert_allclose(interpret.act(plan, seen), acts, rtol=1e-4, atol=1e-5)


def test_dormant_units_behind_a_norm_are_not_recycled():
    with pytest.raises(ValueError, match=r"those of .* are layernorm-relu; give hidden_layers relu, or leave redo"):
        agents.make_agent("td3", TD3Config(hidden_layers="layernorm-relu", redo_every=5), OBSERVATION, ACTION, 0)
