"""The named networks of an agent, of any operations: rewired, saved, restored to the bit, or refused as a whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from experience import measures, through_a_file, topology

from rewirl.agents import AgentConfig
from rewirl.agents.architecture import Architecture
from rewirl.agents.networks import Networks
from rewirl.nn import Add, BatchNorm, LayerNorm, Linear, Pool, ReLU, mean_weights, pack
from rewirl.topology import TopologyConfig

RESIDUAL = [
    Linear("embed", n_out=24),
    LayerNorm("norm"),
    Linear("up", n_out=30),
    ReLU("relu"),
    Linear("down", n_out=24),
    Add("add", of=("down", "embed")),
    Linear("output", n_out=2),
]
NORMED = [Linear("hidden", n_out=20, bias=False), BatchNorm("norm"), ReLU("relu"), Linear("output", n_out=1)]
ARCHITECTURES = {
    "model": Architecture(6, RESIDUAL),
    "value1": Architecture(6, NORMED),
    "value2": Architecture(6, NORMED),
    "policy": Architecture.mlp(6, 16, 12, 3),
}
LEARNING = (("model",), ("value1", "value2"), ("policy",))
BATCH = 20


def make(seed=0, **changes):
    topology = TopologyConfig(sparsity=0.5, rule="rigl", adapt_every=3, adapt_fraction=0.2)
    config = AgentConfig(**{"topology": topology, "hidden_sizes": (8,), **changes})
    streams = {"first": "a purpose", "second": "another"}
    return Networks(ARCHITECTURES, ("model", "value2"), streams, config, "fan-in", seed, Pool(1))


def learn(networks, updates, start=1):
    """Let every network take steps down the mean of its outputs' squares, with the numbers of one stream as input."""
    weights = mean_weights(BATCH)
    for update in range(start, start + updates):
        x = pack(networks.streams["first"].standard_normal((BATCH, 6), dtype=np.float32))
        for names in LEARNING:
            ensemble = networks.ensemble(*names)
            outputs = ensemble.forward(x, BATCH)
            ensemble.step(x, [2 * weights * output for output in outputs], 1e-3)
            networks.after_step(names, x, weights, update)
        networks.update_targets(0.1)
    inputs = dict.fromkeys(LEARNING, x)
    return networks.diagnostics(inputs, weights)


def bits(networks):
    arrays, values = networks.state()
    return {name: array.tobytes() for name, array in arrays.items()}, json.dumps(values)


def test_networks_of_any_operations_are_rewired_and_followed_by_their_targets():
    networks = make()
    assert list(networks.all()) == ["model", "value1", "value2", "policy", "target_model", "target_value2"]
    assert networks.ensemble("value1", "value2") is networks.ensemble("value1", "value2")
    before = {name: topology(network) for name, network in networks.online.items()}
    connections = {name: network.connections for name, network in networks.online.items()}
    told = learn(networks, 7)
    assert all(topology(network) != before[name] for name, network in networks.online.items())
    assert {name: network.connections for name, network in networks.online.items()} == connections
    assert told["rewired"] > 0 and set(told) == {"rewired", *measures(*networks.online)}
    for name, target in networks.targets.items():
        assert target.connections <= networks.online[name].connections
        assert not np.array_equal(target.values("output.values"), networks.online[name].values("output.values"))


@pytest.mark.parametrize("changes", [{}, {"bias_correction": "connection"}])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_restored_networks_go_on_to_the_bit(at, changes):
    through = make(**changes)
    learn(through, at)
    other = make(seed=5, **changes)
    untouched = bits(other)
    restored = other.restored(*through_a_file(through.state()))
    assert bits(restored) == bits(through) and bits(other) == untouched
    assert learn(restored, 6, at + 1) == learn(through, 6, at + 1)
    assert bits(restored) == bits(through)
    learn(other, 1)  # it still works, with networks of its own


def test_networks_of_other_operations_are_refused():
    networks = make()
    arrays, values = through_a_file(networks.state())
    for change in (
        {"n_in": 5},
        {"operations": values["networks"]["value1"]["operations"]},
        {"operations": None},
        {"sizes": [6, 2]},
    ):
        saved = {**values["networks"]["model"], **change}
        if "sizes" in change:
            del saved["operations"]
        wrong = {**values, "networks": {**values["networks"], "model": saved}}
        with pytest.raises(ValueError, match="the saved model is made of other operations than this agent's"):
            networks.restored(arrays, wrong)
    saved = {**values["networks"]["policy"], "operations": values["networks"]["model"]["operations"], "n_in": 6}
    with pytest.raises(ValueError, match="the saved policy has the sizes"):
        networks.restored(arrays, {**values, "networks": {**values["networks"], "policy": saved}})


def test_dormant_units_are_recycled_in_multilayer_perceptrons_alone():
    with pytest.raises(
        ValueError, match=r"redo_every recycles hidden units of .* of ReLUs, and model is none; leave redo_every out"
    ):
        make(redo_every=5)
