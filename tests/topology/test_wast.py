"""WAST: importance is added up over events, decides what goes and comes, and is saved."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rewirl.agents.adaptation import Adaptation, sparse_network
from rewirl.nn import Add, Linear, ReLU, mlp
from rewirl.nn.operations import ends
from rewirl.topology import LayerState, TopologyConfig, make_rule, rewire
from rewirl.topology.memory import RuleMemory
from rewirl.topology.structure import structure_of

CONFIG = TopologyConfig(rule="wast")


def first_layer(weights, indices=(0, 1, 4, 6), shape=(2, 4), **ends):
    ends = ends or {"of_input": True}
    return LayerState(shape, np.array(indices), np.array(weights, np.float32), name="q.hidden1", **ends)


def test_importance_is_added_up_and_multiplies_the_magnitude():
    """Two outputs, four inputs; connections are (0, 0), (0, 1), (1, 0), (1, 2)."""
    rule, rng = make_rule("wast", CONFIG), np.random.default_rng(0)
    scores = rule.drop_score(first_layer([1, -2, 3, 0.5]), 0.5, rng)
    assert scores.tolist() == [1 * 4, 2 * 2, 3 * 4, 0.5 * 0.5]  # I = 1 + 3, 2, 0.5, 0
    scores = rule.drop_score(first_layer([1, 1, -1, 8]), 0.5, rng)
    assert scores.tolist() == [1 * 6, 1 * 3, 1 * 6, 8 * 8.5]  # I = 4 + 2, 2 + 1, 0.5 + 8, 0
    # Free are (0, 2), (0, 3), (1, 1), (1, 3): the first has I = 8.5, then (1, 1) with 3, then those of 0
    occupied = np.array([0, 1, 4, 6])
    assert rule.grow(first_layer([1, 1, -1, 8]), occupied, 1, rng).tolist() == [2]
    assert sorted(rule.grow(first_layer([1, 1, -1, 8]), occupied, 2, rng).tolist()) == [2, 5]
    assert sorted(rule.grow(first_layer([1, 1, -1, 8]), occupied, 4, rng).tolist()) == [2, 3, 5, 7]
    ranks = rule.grow_score(first_layer([1, 1, -1, 8]), rng).reshape(2, 4)
    assert (np.argsort(-ranks, axis=1) == [2, 0, 1, 3]).all()


def test_outputs_of_the_network_have_an_importance_too_and_hidden_units_have_none():
    rule, rng = make_rule("wast", CONFIG), np.random.default_rng(0)
    state = first_layer([1, -2, 3, 0.5], of_output=True)
    assert rule.drop_score(state, 0.5, rng).tolist() == [3, 6, 10.5, 1.75]  # I_out = 3, 3.5
    assert rule.grow(state, state.indices, 2, rng).tolist() in ([5, 7], [7, 5])
    middle = LayerState((2, 4), state.indices, state.weights, name="q.hidden2")
    assert rule.drop_score(middle, 0.5, rng).tolist() == [1, 2, 3, 0.5]
    grown = {tuple(sorted(rule.grow(middle, middle.indices, 2, rng).tolist())) for _ in range(100)}
    assert len(grown) == 6  # any two of the four free places


def test_places_of_one_importance_are_equally_likely():
    rule, rng = make_rule("wast", CONFIG), np.random.default_rng(0)
    state = LayerState((50, 3), np.arange(3), np.array([3, 1, 1], np.float32), name="q.hidden1", of_input=True)
    rule.drop_score(state, 0.5, rng)
    counts = np.bincount(np.concatenate([rule.grow(state, state.indices, 7, rng) for _ in range(500)]), minlength=150)
    assert (counts.reshape(50, 3)[:, 1:] == 0).all() and counts[3::3].min() > 30  # 71 are expected


def test_blocks_have_the_importance_of_their_inputs():
    rule, rng = make_rule("wast", CONFIG), np.random.default_rng(0)
    blocks = structure_of("4x1")
    indices = np.sort(np.concatenate([np.arange(4) * 5, np.arange(4) * 5 + 1, (4 + np.arange(4)) * 5 + 2]))
    weights = np.array([3, 2, 1], np.float32)[indices % 5]
    state = LayerState((8, 5), indices, weights, name="q.hidden1", of_input=True, of_output=True)
    change = rewire(rule, state, 0.34, rng, structure=blocks)
    assert (indices[change.dropped] % 5).tolist() == [2] * 4  # of I = 12, 8, 4, 0, 0 the least
    assert (change.grown % 5).tolist() == [0] * 4 and change.grown.min() >= 20


def test_the_memory_is_saved_and_the_next_event_is_the_same():
    rng = np.random.default_rng(1)
    config = TopologyConfig(rule="wast", sparsity=0.6, adapt_every=1, adapt_fraction=0.3, structure="4x1")
    network = sparse_network(6, mlp([6, 16, 8, 5]), config, 0, "q")
    adaptation = Adaptation(config, 0)
    for update in (1, 2):
        adaptation.adapt("q", network, update, None)
    saved = json.loads(json.dumps(adaptation.state()))
    assert set(saved["rule"]) == {"the inputs of q.hidden1"}  # the output layer is dense at this sparsity
    other = Adaptation(config, 0)
    other.load_state(saved)
    arrays, values = network.state()
    twin = type(network).from_state(arrays, values)
    for one, its in ((adaptation, network), (other, twin)):
        one.adapt("q", its, 3, None)
    assert adaptation.state() == other.state()
    for layer, same in zip(network.layers, twin.layers, strict=True):
        assert np.array_equal(np.sort(layer.places()), np.sort(same.places()))
    for wrong in ([1], {"a": 1}, {"a": ["x"]}, {"a": [-1.0]}):
        with pytest.raises(ValueError, match="load_rewirl_state"):
            RuleMemory(make_rule("wast", CONFIG)).load_state({"rule": wrong})
    rule = make_rule("wast", CONFIG)
    rule.load_rewirl_state({"the inputs of q.hidden1": [1.0]})
    with pytest.raises(ValueError, match="importances of 1"):
        rule.drop_score(first_layer([1, 2, 3, 4]), 0.5, rng)


def test_what_the_rule_has_of_its_own_is_refused():
    for wrong in ({"drop": "l2"}, {"grow": "gradient"}, {"distribution": "global", "initial_sparsity": 0.0}):
        with pytest.raises(ValueError, match="wast"):
            TopologyConfig(rule="wast", **wrong)


def test_the_ends_of_a_network_are_where_no_other_layer_lies_between():
    assert ends(mlp([3, 4, 4, 2])) == {"hidden1": (True, False), "hidden2": (False, False), "output": (False, True)}
    residual = [
        Linear("embed", n_out=4),
        ReLU("relu"),
        Linear("narrow", n_out=4),
        Add("sum", of=("relu", "narrow")),
        Linear("output", n_out=1),
    ]
    assert ends(residual) == {"embed": (True, False), "narrow": (False, False), "output": (False, True)}
    assert ends([Linear("only", n_out=1)]) == {"only": (True, True)}
