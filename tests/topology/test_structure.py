"""Connections that have to be spread evenly: constant fan-in and N:M."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from rewirl.seeding import generator
from rewirl.topology import LayerState, Rule, TopologyConfig, densities, make_rule, random_topology, rewire
from rewirl.topology.fan_in import FanIn
from rewirl.topology.structure import structure_of


def fan_in(shape, indices):
    return np.bincount(indices // shape[1], minlength=shape[0])


def test_every_unit_has_as_many_inputs():
    structure = structure_of("constant-fan-in")
    indices = structure.draw((40, 33), 0.3, generator(0, "t"))
    assert (fan_in((40, 33), indices) == 10).all()
    assert len(np.unique(indices)) == 400 and (np.diff(indices) > 0).all()
    (drawn,) = random_topology([(40, 33)], [0.3], generator(0, "t"), structure)
    assert np.array_equal(drawn, indices)


@pytest.mark.parametrize("name", ["constant-fan-in", "2:4", "3:7"])
def test_a_large_layer_is_drawn_in_the_memory_of_a_few_rows(name):
    shape, structure = (1500, 1499), structure_of(name)
    counts = np.array([structure.per_group(shape[1], 0.01)] * shape[0])
    tracemalloc.start()
    drawn = structure.draw(shape, 0.01, generator(3, "topology"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * (2**20 + 3 * len(drawn))  # a score of each place would take twice the first
    one_by_one = generator(3, "topology").random(shape)
    rows = [structure.select(scores[np.newaxis], counts[:1]) for scores in one_by_one]
    assert np.array_equal(drawn, np.concatenate([row * shape[1] + one for row, one in enumerate(rows)]))


def test_inputs_are_equally_likely():
    structure = structure_of("constant-fan-in")
    rng = generator(0, "many")
    counts = sum(np.bincount(structure.draw((50, 12), 0.25, rng) % 12, minlength=12) for _ in range(40))
    assert chisquare(counts).pvalue > 1e-3


def test_two_of_four_neighbouring_inputs():
    structure = structure_of("2:4")
    indices = structure.draw((30, 16), 0.9, generator(0, "t"))  # the density is what 2:4 says
    assert (structure.counts((30, 16), indices) == 2).all()
    config = TopologyConfig(structure="2:4")
    assert densities(config, [(30, 16), (16, 30), (2, 16)]) == [0.5, pytest.approx(15 / 30), 0.5]
    assert config.summary() == "2:4, set"


def test_a_smaller_last_group_has_its_share():
    structure = structure_of("1:4")
    assert structure.per_group(10, 0.9) == [1, 1, 1]  # of its two at least one
    assert structure_of("3:8").per_group(20, 0.9) == [3, 3, 2]
    assert densities(TopologyConfig(structure="1:4"), [(5, 10)]) == [pytest.approx(0.3)]
    assert structure_of("constant-fan-in").per_group(100, 0.001) == [1]


@pytest.mark.parametrize("name", ["4:2", "2:2", "0:4", "2:", "constant", "2:4:8", ""])
def test_what_is_no_structure_is_refused(name):
    with pytest.raises(ValueError, match="structure must be"):
        TopologyConfig(structure=name)


@pytest.mark.parametrize("name", ["constant-fan-in", "2:4"])
def test_a_changing_sparsity_has_no_fixed_fan_in(name):
    with pytest.raises(ValueError, match=f"a sparsity that changes cannot have structure {name}"):
        TopologyConfig(structure=name, initial_sparsity=0.0, rule="prune")


def test_an_event_by_hand():
    """Two units with two of four inputs each; the two smallest weights are both of the first unit."""
    gradient = np.float32([[0, 0, 3, -4], [9, 0, 0, 9]])
    state = LayerState((2, 4), np.array([0, 1, 5, 6]), np.float32([0.1, -0.2, 5, 6]), lambda: gradient)
    structure = structure_of("constant-fan-in")

    def event(fraction, regrow=False):
        change = rewire(
            make_rule("rigl", TopologyConfig()), state, fraction, generator(0, "t"), regrow, structure=structure
        )
        return state.indices[change.dropped].tolist(), change.grown.tolist()

    assert event(0.25) == ([0], [3])
    assert event(0.5) == ([0, 1], [2, 3])  # not where the second unit has a larger gradient
    assert event(0.75) == ([0, 1, 5], [2, 3, 4])
    assert event(0.25, regrow=True) == ([0], [3])


def test_a_group_loses_no_more_than_it_has_room_for():
    state = LayerState(
        (2, 3), np.array([0, 1, 3, 4]), np.float32([0.1, 0.2, 5, 6]), lambda: np.ones((2, 3), np.float32)
    )
    structure = structure_of("constant-fan-in")
    change = rewire(make_rule("rigl", TopologyConfig()), state, 0.5, generator(0, "t"), structure=structure)
    assert state.indices[change.dropped].tolist() == [0] and change.grown.tolist() == [
        2
    ]  # 0.2 stays, there is one free
    anywhere = rewire(make_rule("rigl", TopologyConfig()), state, 0.5, generator(0, "t"), True, structure=structure)
    assert state.indices[anywhere.dropped].tolist() == [0, 1] and len(anywhere.grown) == 2


@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(["constant-fan-in", "1:2", "2:4", "3:7"]),
    drops=st.sampled_from(["halves", "code", "magnitude", "sensitivity", "random"]),
    grows=st.sampled_from(["random", "gradient"]),
    fraction=st.floats(0, 1),
    regrow=st.booleans(),
)
def test_the_structure_stays_whatever_the_criteria(seed, name, drops, grows, fraction, regrow):
    rng = np.random.default_rng(seed)
    shape, structure = (int(rng.integers(1, 20)), int(rng.integers(1, 30))), structure_of(name)
    indices = rng.permutation(structure.draw(shape, rng.random(), rng))
    weights = np.round(rng.normal(size=len(indices)), 1).astype(np.float32)
    gradient = np.round(rng.normal(size=shape), 1).astype(np.float32)
    state = LayerState(shape, indices, weights, gradient.copy)
    config = TopologyConfig(drop=drops, grow=grows)
    change = rewire(make_rule("set", config), state, fraction, rng, regrow, structure=structure)
    kept = np.delete(indices, change.dropped)
    after = np.concatenate([kept, change.grown])
    assert len(np.unique(after)) == len(after) == len(indices)
    assert np.array_equal(structure.counts(shape, after), structure.counts(shape, indices))
    assert not np.isin(change.grown, kept if regrow else indices).any()


class Unscored(Rule):
    def drop_score(self, state, fraction, rng):
        raise AssertionError

    def grow(self, state, occupied, count, rng):
        raise AssertionError


@pytest.mark.parametrize("structure", ["constant-fan-in", "2:4"])
def test_a_rule_without_scores_to_grow_by_is_refused_before_anything_is_learnt(structure):
    name = f"{__name__}:Unscored"
    with pytest.raises(ValueError, match="Unscored has no grow_score"):
        make_rule(name, TopologyConfig(rule=name, structure=structure))
    make_rule(name, TopologyConfig(rule=name, structure="4x1"))
    for one in ("static", "set", "rigl"):
        make_rule(one, TopologyConfig(rule=one, structure=structure))


def test_a_rule_of_ones_own_needs_scores_to_grow_by():
    class Own(Rule):
        def drop_score(self, state, fraction, rng):
            return np.abs(state.weights).astype(np.float64)

        def grow(self, state, occupied, count, rng):
            raise AssertionError

    class Scored(Own):
        def grow_score(self, state, rng):
            return np.arange(state.total)

    class Faulty(Own):
        def grow_score(self, state, rng):
            return np.ones(3)

    state = LayerState((2, 3), np.array([0, 4]), np.float32([0.1, 0.2]))
    structure = structure_of("constant-fan-in")
    with pytest.raises(ValueError, match="Own has no grow_score"):
        rewire(Own(TopologyConfig()), state, 0.5, generator(0, "t"), structure=structure)
    with pytest.raises(ValueError, match="grow_score must return a number for each of 6 weights"):
        rewire(Faulty(TopologyConfig()), state, 0.5, generator(0, "t"), structure=structure)
    assert rewire(Scored(TopologyConfig()), state, 0.5, generator(0, "t"), structure=structure).grown.tolist() == [2]


class Avoid(Rule):
    """Grows at the last four of eight inputs only where no other is free."""

    def drop_score(self, state, fraction, rng):
        return np.arange(len(state.indices), dtype=float)

    def grow(self, state, occupied, count, rng):
        raise AssertionError("structures of a fan-in ask for scores")

    def grow_score(self, state, rng):
        return np.where(np.arange(8) < 4, 1.0, -np.inf) + np.zeros(state.shape)


@pytest.mark.parametrize("regrow", [False, True])
def test_where_only_scores_of_minus_infinity_are_free_those_grow(regrow):
    indices = np.array([0, 1, 2, 3, 12, 13, 14, 15])  # of the first unit all inputs that are wanted, of the other none
    state = LayerState((2, 8), indices, np.ones(8, np.float32))
    change = rewire(Avoid(TopologyConfig()), state, 0.25, generator(0, "adaptation"), regrow, structure=FanIn())
    assert change.dropped.tolist() == [0, 1]
    assert change.grown.tolist() == ([0, 1] if regrow else [4, 5])
