"""What is dropped and what is grown, by hand and for every combination of criteria."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewirl.seeding import generator
from rewirl.topology import LayerState, TopologyConfig, make_rule, random_indices, rewire
from rewirl.topology.rules import drop, grow

SHAPE = (2, 4)
#                        0    1    2    3    4    5    6    7
GRADIENT = np.float32([[0.1, -9.0, 0.2, 5.0], [-7.0, 0.0, 7.0, 0.3]])


def state():
    """Connections at 0, 3, 4 and 6."""
    indices, weights = np.array([0, 3, 4, 6]), np.float32([0.5, -0.1, 0.02, -3.0])
    return LayerState(SHAPE, indices, weights, lambda: GRADIENT.copy())


def event(name, fraction=0.5, regrow=False, **options):
    change = rewire(make_rule(name, TopologyConfig(**options)), state(), fraction, generator(0, "t"), regrow)
    return state().indices[change.dropped].tolist(), change.grown.tolist()


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest():
    assert event("rigl") == ([3, 4], [1, 7])  # of the free indices 1, 2, 5, 7
    assert event("rigl", 0.25) == ([4], [1])
    assert event("rigl", 0.75) == ([0, 3, 4], [1, 2, 7])


def test_rigl_may_regrow_what_it_dropped():
    assert event("rigl", regrow=True) == ([3, 4], [1, 4])  # -7 at 4 before 5 at 3


def test_sensitivity_is_weight_times_gradient():
    # |w g|: 0: 0.05, 3: 0.5, 4: 0.14, 6: 21
    assert event("rigl", drop="sensitivity") == ([0, 4], [1, 7])
    assert event("set", drop="sensitivity")[0] == [0, 4]


def test_either_criterion_can_be_chosen_for_either_rule():
    assert event("set", drop="magnitude", grow="gradient") == event("rigl")
    assert event("rigl", drop="halves", grow="random") == event("set")
    # halves: the smallest positive is 0.02 at 4, the largest negative -0.1 at 3; with three of them 0.5 at 0 too
    assert event("set", 0.75)[0] == [0, 3, 4]


def test_frozen_connections_have_no_part_in_the_halves_and_the_shares():
    weights = np.float32([0.1, 0.2, 0.3, 0.4, 5.0, 6.0, 7.0, 8.0, -5.0, -6.0, -7.0, -8.0])
    frozen = (weights > 0) & (weights < 1)
    layer = LayerState((4, 6), np.arange(12), weights, frozen=frozen)

    def dropped(criterion, fraction):
        rule = make_rule("set", TopologyConfig(drop=criterion))
        return weights[rewire(rule, layer, fraction, generator(0, "t")).dropped].tolist()

    assert dropped("halves", 0.5) == [5.0, 6.0, -5.0, -6.0]  # half of 8, as many of each sign
    assert dropped("code", 0.5) == [5.0, 6.0, -5.0, -6.0]  # half of 4 and half of 4


def test_random_drops_are_uniform_and_follow_the_stream():
    config = TopologyConfig(drop="random")
    rng = generator(0, "many")
    counts = np.zeros(8)
    for _ in range(2000):
        change = rewire(make_rule("set", config), state(), 0.25, rng)
        counts[state().indices[change.dropped]] += 1
    assert counts[[0, 3, 4, 6]] == pytest.approx(500, abs=90)
    assert event("set", drop="random") == event("set", drop="random")


def test_of_equal_gradients_the_lower_indices_grow():
    flat = LayerState(SHAPE, np.array([2]), np.float32([1.0]), lambda: np.ones(SHAPE, np.float32))
    assert rewire(make_rule("rigl", TopologyConfig()), flat, 1.0, generator(0, "t")).grown.tolist() == [0]


@pytest.mark.parametrize("structure", ["unstructured", "constant-fan-in"])
def test_a_gradient_that_is_no_number_is_not_the_rules_fault(structure):
    config = TopologyConfig(rule="rigl", structure=structure)
    layer = LayerState(SHAPE, np.array([0, 4]), np.ones(2, np.float32), lambda: np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(FloatingPointError, match="gradient of a layer of shape"):  # as training reports it
        rewire(make_rule("rigl", config), layer, 1.0, generator(0, "t"), structure=config.spread)


def test_fewer_connections_are_asked_for_and_the_smallest_go():
    def event(name, connections, fraction, **options):
        config = TopologyConfig(rule=name, initial_sparsity=0.0, **options)
        change = rewire(make_rule(name, config), state(), fraction, generator(0, "t"), connections=connections)
        return state().indices[change.dropped].tolist(), change.grown.tolist()

    assert event("prune", 3, 0.5) == ([4], [])  # whatever the fraction: it rewires nothing
    assert event("prune", 1, 0.5) == ([0, 3, 4], [])
    assert event("prune", 0, 0.5) == ([0, 3, 4, 6], [])
    assert event("prune", 4, 0.5) == ([], [])
    assert event("rigl", 3, 0.25) == ([3, 4], [1])  # one is rewired and one pruned
    assert event("rigl", 6, 0.25) == ([4], [1, 2, 7])  # one is rewired and two grown
    assert event("rigl", 8, 0.25) == ([], [1, 2, 5, 7])  # no index would be left for what is dropped
    with pytest.raises(ValueError, match="cannot have 9 connections"):
        event("rigl", 9, 0.25)


def test_only_rules_that_ask_for_a_gradient_get_one():
    for name, options, asks in (
        ("set", {}, False),
        ("static", {}, False),
        ("rigl", {}, True),
        ("rigl", {"grow": "random"}, False),
        ("set", {"drop": "sensitivity"}, True),
        ("set", {"grow": "gradient"}, True),
    ):
        assert make_rule(name, TopologyConfig(**options)).uses_gradient == asks
    without = LayerState(SHAPE, np.array([2]), np.float32([1.0]))
    with pytest.raises(ValueError, match="uses_gradient = True, and a LayerState made by hand compute_gradient"):
        rewire(make_rule("rigl", TopologyConfig()), without, 1.0, generator(0, "t"))


@given(
    seed=st.integers(0, 10_000),
    drops=st.sampled_from(["paper", *drop.CRITERIA]),
    grows=st.sampled_from(["paper", *grow.CRITERIA]),
    name=st.sampled_from(["set", "rigl"]),
    fraction=st.floats(0, 1),
    regrow=st.booleans(),
)
def test_connections_are_conserved_whatever_the_criteria(seed, drops, grows, name, fraction, regrow):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 20)), int(rng.integers(1, 20)))
    indices = rng.permutation(random_indices(shape, rng.random(), rng))
    weights = np.round(rng.normal(size=len(indices)), 1).astype(np.float32)
    gradient = np.round(rng.normal(size=shape), 1).astype(np.float32)
    layer = LayerState(shape, indices, weights, gradient.copy)
    change = rewire(make_rule(name, TopologyConfig(drop=drops, grow=grows)), layer, fraction, rng, regrow)
    kept = np.delete(indices, change.dropped)
    after = np.concatenate([kept, change.grown])
    assert len(np.unique(after)) == len(after) == len(indices)
    wanted = int(rng.integers(layer.total + 1))
    change = rewire(make_rule(name, TopologyConfig(drop=drops, grow=grows)), layer, fraction, rng, regrow, wanted)
    follow = np.concatenate([np.delete(indices, change.dropped), change.grown])
    assert len(np.unique(follow)) == len(follow) == wanted
    change = rewire(make_rule(name, TopologyConfig(drop=drops, grow=grows)), layer, fraction, rng, regrow)
    if grows == "gradient" and len(change.grown) and not regrow:
        free = np.setdiff1d(np.arange(layer.total), np.concatenate([indices, change.grown]))
        strength = np.abs(gradient.reshape(-1))
        assert strength[change.grown].min() >= strength[free].max(initial=0)
