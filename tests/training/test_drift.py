"""What the log says of the topology of networks at every evaluation."""

from __future__ import annotations

import math

import numpy as np

from rewirl.agents import make_agent
from rewirl.agents.td3 import TD3Config
from rewirl.nn.importance import connections
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig
from rewirl.training import drift
from rewirl.training.drift import Drift, inputs_at_end


def test_connections_of_inputs_are_those_of_all_layers_that_read_them():
    """A Hadamard layer is a product of two."""
    config = TD3Config(hidden_sizes=(9, 8), hidden_layers="hadamard-tanh", topology=TopologyConfig(sparsity=0.5))
    networks = make_agent("static-td3", config, 3, 1, 0).networks()
    for name, found in Drift(networks).measure(networks).items():
        layers = [networks[name].layer(half) for half in ("hidden1a", "hidden1b")]
        inputs = np.concatenate([layer.places() % layer.shape[1] for layer in layers])
        assert found["input_connections"] == np.bincount(inputs).tolist() == connections(networks[name]).tolist()


def test_an_own_network_whose_name_begins_as_a_target_does_is_no_target():
    networks = make_agent("td3", TD3Config(hidden_sizes=(4,)), 3, 1, 0).networks()
    assert list(drift.online({**networks, "targeting": networks["actor"]})) == [
        "actor",
        "critic1",
        "critic2",
        "targeting",
    ]


def test_what_is_alive_is_a_share_of_the_connections_at_the_start_where_a_network_grows():
    growing = {"initial_sparsity": 0.8, "sparsity": 0.5, "sparsity_end": 10, "adapt_every": 2, "adapt_fraction": 0.2}
    topology = TopologyConfig(rule="set", drop="random", **growing)
    config = TD3Config(hidden_sizes=(24, 16), batch_size=8, topology=topology)
    agent, replay = make_agent("ds-td3", config, 7, 3, 0), Replay(9, 7, 3, 0)
    replay.add(np.ones(7), np.ones(3), 1.0, np.ones(7), False)
    beginning, layer = Drift(agent.networks()), agent.networks()["critic1"].layers[0]
    before = set(layer.places().tolist())
    for _ in range(10):
        agent.update(replay)
    alive = len(before.intersection(layer.places().tolist())) / len(before)
    assert 0.2 < alive < 1 and layer.connections > 2 * len(before)
    assert beginning.measure(agent.networks())["critic1"]["initial_alive"][0] == alive


def test_of_a_layer_that_began_dense_what_is_left_is_alive_and_its_inputs_are_not_counted():
    pruning = {"rule": "prune", "initial_sparsity": 0.0, "sparsity": 0.75, "sparsity_end": 4, "adapt_every": 2}
    config = TD3Config(hidden_sizes=(24, 16), batch_size=8, topology=TopologyConfig(**pruning))
    agent, replay = make_agent("ds-td3", config, 7, 3, 0), Replay(9, 7, 3, 0)
    replay.add(np.ones(7), np.ones(3), 1.0, np.ones(7), False)
    beginning = Drift(agent.networks())
    assert beginning.measure(agent.networks())["actor"]["initial_alive"] == [None] * 3
    for _ in range(4):
        agent.update(replay)
    found = beginning.measure(agent.networks())["actor"]
    left = [number / math.prod(shape) for number, shape in zip(found["connections"], found["shapes"], strict=True)]
    assert min(left) < 0.5 and found["initial_alive"] == [None if share == 1 else share for share in left]
    later = TopologyConfig(sparsity=None, layer_sparsities=(0.0, 0.5, 0.0))
    networks = make_agent("ds-td3", TD3Config(hidden_sizes=(24, 16), topology=later), 7, 3, 0).networks()
    for measured in (found, Drift(networks).measure(networks)["actor"]):
        assert measured["input_connections"] is None


def test_of_very_many_inputs_nothing_is_said_one_by_one(monkeypatch):
    config = TD3Config(hidden_sizes=(8, 8), topology=TopologyConfig(sparsity=0.5))
    agent = make_agent("ds-td3", config, 6, 2, seed=0)
    assert inputs_at_end(agent, None, True)
    monkeypatch.setattr(drift, "MOST_INPUTS", 7)
    said = {
        name: found["input_connections"] for name, found in Drift(agent.networks()).measure(agent.networks()).items()
    }
    assert len(said["actor"]) == 6 and said["critic1"] is None and said["critic2"] is None
    assert inputs_at_end(agent, None, True) == {}
