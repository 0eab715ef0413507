"""Strength and attribution of inputs: by finite differences, by hand, and as the scores for PyTorch say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewirl import agents
from rewirl.agents import DQNConfig, SACConfig, XQCConfig
from rewirl.agents.importance import MOST_SAMPLES, input_importance
from rewirl.nn import BatchNorm, Linear, ReLU, Tanh, initialised, layered
from rewirl.nn.importance import attribution, connections, strength
from rewirl.topology import TopologyConfig
from rewirl.torch import SparseLinear
from rewirl.torch import importance as in_torch

PLACES = np.array([0, 2, 5, 6, 9, 14])  # of 4 outputs and 5 inputs: no connection of input 3


def test_scores_by_hand():
    network = initialised(5, [Linear("a", n_out=4)], {"a": PLACES}, np.random.default_rng(0))
    values = dict(zip(PLACES.tolist(), [1, -2, 3, 0.5, -0.25, 4], strict=True))
    network.layer("a").set_values(np.array([values[place] for place in network.layer("a").places()], np.float32))
    assert strength(network).tolist() == [4, 0.5, 2, 0, 4.25]
    assert connections(network).tolist() == [2, 1, 1, 0, 2]
    x = np.random.default_rng(1).normal(size=(130, 5)).astype(np.float32)
    assert attribution(network, x) == pytest.approx(strength(network))  # of a linear network it is the same
    assert attribution(network, x, outputs=1).tolist() == [1, 0, 2, 0, 0]


def test_a_product_of_layers_has_both_of_them():
    network = initialised(3, layered(3, (6,), 2, "hadamard-tanh"), {}, np.random.default_rng(0))
    both = [np.abs(network.layer(f"hidden1{half}").weights()).sum(axis=0) for half in "ab"]
    assert strength(network) == pytest.approx(sum(both)) and connections(network).tolist() == [12] * 3


@pytest.mark.parametrize("first", [[], [BatchNorm("norm")]], ids=["mlp", "batch norm"])
def test_attribution_is_the_gradient_of_the_outputs(first):
    operations = [*first, Linear("a", n_out=20), Tanh(), Linear("b", n_out=3)]
    places = np.sort(np.random.default_rng(2).choice(5 * 20, 40, replace=False))
    network = initialised(5, operations, {"a": places}, np.random.default_rng(0))
    if first:
        network.set_values("norm.mean", np.arange(5, dtype=np.float32))
        network.set_values("norm.variance", np.full(5, 2, np.float32))
    x = np.random.default_rng(1).normal(size=(37, 5)).astype(np.float32)
    before = {name: array.copy() for name, array in network.arrays()}
    found = attribution(network, x)
    expected = np.zeros(5)
    for feature in range(5):
        step = np.zeros(5)
        step[feature] = 1e-3
        above, below = (network_of(network, x + sign * step) for sign in (1, -1))
        expected[feature] = np.abs((above - below) / 2e-3).sum(axis=1).mean()
    assert found == pytest.approx(expected, rel=1e-3)
    assert all(np.array_equal(array, before[name]) for name, array in network.arrays())


def network_of(network, x):
    """The outputs of the network above in float64."""
    h = np.asarray(x, np.float64)
    if network.operations[0].kind == "batch_norm":
        h = (h - network.values("norm.mean")) / np.sqrt(network.values("norm.variance") + 1e-5)
    a, b = network.layers
    return np.tanh(h @ a.weights().T.astype(np.float64) + a.bias) @ b.weights().T.astype(np.float64) + b.bias


def test_the_scores_for_pytorch_are_the_same():
    network = initialised(
        5, [Linear("a", n_out=4), ReLU(), Linear("b", n_out=2)], {"a": PLACES}, np.random.default_rng(0)
    )
    first, last = network.layers[0], torch.nn.Linear(4, 2)
    layer = SparseLinear.from_dense(torch.tensor(first.weights()), torch.tensor(first.bias.copy()))
    with torch.no_grad():
        last.weight.copy_(torch.tensor(network.layer("b").weights()))
        last.bias.copy_(torch.tensor(network.layer("b").bias.copy()))
    x = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32)
    model = torch.nn.Sequential(layer, torch.nn.ReLU(), last)
    assert strength(network) == pytest.approx(in_torch.strength(layer).numpy(), rel=1e-5)
    assert attribution(network, x) == pytest.approx(in_torch.attribution(model, torch.tensor(x)).numpy(), rel=1e-4)


@pytest.mark.parametrize("name", ["ds-sac", "ds-xqc", "ds-dqn"])
def test_an_agent_tells_of_each_network_that_learns(name):
    kind = {"ds-sac": SACConfig, "ds-xqc": XQCConfig, "ds-dqn": DQNConfig}[name]
    topology = TopologyConfig(sparsity=0.5, rule="set")
    config = kind(hidden_sizes=(12,), topology=topology, normalise_observations=name != "ds-xqc")
    agent = agents.make_agent(name, config, 5, 3, 0)
    rows = np.random.default_rng(0).normal(size=(3000, 5 + 3 + 5 + 2)).astype(np.float32)
    agent.normalisation.observe(np.ones(5, np.float32))
    agent.normalisation.observe(np.zeros(5, np.float32))
    before = str(agent.state())
    told = input_importance(agent, rows)
    assert str(agent.state()) == before and list(told) == list(agent.ONLINE)
    for network, scores in told.items():
        n_in = agent.networks()[network].n_in
        assert all(len(values) == n_in and min(values) >= 0 and max(values) > 0 for values in scores.values())
        assert scores["strength"] == pytest.approx(strength(agent.networks()[network]).tolist(), rel=1e-5)
    few = rows[np.linspace(0, 2999, MOST_SAMPLES).astype(int)]
    assert input_importance(agent, few) == told
    seen = (
        few[:, :5]
        if agent.normalisation.observations is None
        else agent.normalisation.observations.normalised(few[:, :5])
    )
    actor = agent.networks()[agent.ONLINE[0]]
    outputs = None if name == "ds-dqn" else 3
    assert told[agent.ONLINE[0]]["attribution"] == pytest.approx(attribution(actor, seen, outputs).tolist(), rel=1e-5)
    nothing = input_importance(agent, None)
    assert nothing[agent.ONLINE[0]]["attribution"] is None and nothing[agent.ONLINE[0]]["strength"]
