"""Units that lose their inputs to the others (SRigL)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewirl.seeding import generator
from rewirl.topology import LayerState, TopologyConfig, make_rule, rewire
from rewirl.topology.structure import structure_of

SPREAD = structure_of("constant-fan-in")
#                         0  1  2  3    4  5  6  7    8  9 10 11
GRADIENT = np.float32([[0, 0, 9, 1], [0, 0, 8, 1], [3, 2, 0, 0]])


def layer(weights, gradient=GRADIENT, shape=(3, 4)):
    """A layer with a connection at each index of the dictionary."""
    indices = np.array(list(weights), dtype=np.int64)
    return LayerState(shape, indices, np.float32(list(weights.values())), gradient.copy)


def event(state, fraction, share, regrow=False):
    change = rewire(
        make_rule("rigl", TopologyConfig()),
        state,
        fraction,
        generator(0, "t"),
        regrow,
        structure=SPREAD,
        ablate_below=share,
    )
    return sorted(state.indices[change.dropped].tolist()), change.grown.tolist()


def fan_in(state, change):
    dropped, grown = change
    after = sorted({*state.indices.tolist()} - {*dropped}) + grown
    return np.bincount(np.array(after) // state.shape[1], minlength=state.shape[0]).tolist()


def test_an_ablation_by_hand():
    """Two inputs each. A third is to be rewired: 0.1 and 0.2 would go, and the largest gradients are at 2 and 6.

    So salient are 0, 1, 2 of the first unit, 5, 6 of the second, 11 of the third.
    """
    state = layer({0: 5, 1: 6, 4: 0.1, 5: 4, 10: 0.2, 11: 0.3})
    assert event(state, 1 / 3, 0.0) == ([4, 10], [6, 8])
    assert event(state, 1 / 3, 0.5) == ([4, 10], [6, 8])  # one salient weight is enough
    assert event(state, 1 / 3, 0.9) == ([4, 10], [6, 8])  # and floor(1.8) is 1
    # With all of two needed the third unit goes, which are the two connections to rewire: 0.1 stays.
    assert event(state, 1 / 3, 1.0) == ([10, 11], [2, 6])
    assert fan_in(state, event(state, 1 / 3, 1.0)) == [3, 3, 0]


def test_a_remainder_goes_to_the_most_salient_units():
    gradient = np.float32([[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 9, 9, 9], [0, 0, 0, 0, 0]])
    state = layer({0: 5, 1: 5, 5: 5, 6: 5, 10: 5, 11: 5, 15: 0.1, 16: 0.2}, gradient, (4, 5))
    # salient: two connections of the first and second unit; of the third two and those at 12 and 13; of the last none
    assert event(state, 0.25, 0.5) == event(state, 0.25, 0.3) == ([15, 16], [2, 12])  # at least one has to be
    assert fan_in(state, event(state, 0.25, 0.5)) == [3, 2, 3, 0]


def test_an_ablated_unit_comes_back_where_its_gradient_is_large_enough():
    gradient = np.float32([[0, 0, 0, 0], [0, 0, 0, 0], [0, 7, 8, 9]])
    state = layer({0: 1, 1: 2, 2: 3, 4: 4, 5: 5, 6: 6}, gradient)
    # Two are to be rewired: salient are 2 of the first unit, all of the second, and 10 and 11. With three units left,
    # the second has one too many, the smallest.
    assert event(state, 1 / 3, 0.5) == ([0, 1, 4], [3, 10, 11])
    assert fan_in(state, event(state, 1 / 3, 0.5)) == [2, 2, 2]
    assert event(state, 1 / 3, 1.0) == ([0, 1, 2], [9, 10, 11])  # instead of the first unit, not beside it
    assert event(state, 0.0, 0.5) == ([], [])  # nothing to rewire, so nothing of it is salient


def test_the_units_that_are_left_hold_all_connections():
    """Two of three units are needed for six connections of four inputs, however little is salient in the second."""
    state = layer({0: 9, 1: 9, 4: 0.3, 5: 0.4, 8: 0.1, 9: 0.2}, np.float32([[0, 0, 9, 9], [0] * 4, [0] * 4]))
    dropped, grown = event(state, 2 / 3, 1.0, regrow=True)
    assert fan_in(state, (dropped, grown)) == [3, 3, 0]
    full = layer({0: 9, 1: 9, 2: 9, 3: 9, 4: 0.1, 5: 0.1, 6: 0.1, 7: 0.1}, np.float32([[9] * 4, [0] * 4]), (2, 4))
    assert fan_in(full, event(full, 0.5, 1.0)) == [4, 4]


def test_units_that_stay_have_as_many_inputs_as_before_however_salient_others_have_become():
    gradient = np.zeros((4, 5), np.float32)
    gradient[1, 2:4] = 9
    state = layer({0: 0.1, 1: 5, 2: 5, 5: 5, 6: 5, 10: 0.2, 11: 5, 12: 5}, gradient, (4, 5))
    assert fan_in(state, event(state, 0.25, 0.5)) == [3, 2, 3, 0]


@given(
    seed=st.integers(0, 10_000),
    drops=st.sampled_from(["halves", "code", "magnitude", "sensitivity", "random"]),
    grows=st.sampled_from(["random", "gradient"]),
    fraction=st.floats(0, 1),
    share=st.floats(0.01, 1),
    regrow=st.booleans(),
)
def test_connections_are_conserved_and_even_over_the_units_that_are_left(seed, drops, grows, fraction, share, regrow):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 20)), int(rng.integers(1, 20)))
    indices = rng.permutation(SPREAD.draw(shape, rng.random(), rng))
    config = TopologyConfig(drop=drops, grow=grows)
    for _ in range(3):  # from constant fan-in, and then from what an event has left
        weights = np.round(rng.normal(size=len(indices)), 1).astype(np.float32)
        gradient = np.round(rng.normal(size=shape) * rng.exponential(3, (shape[0], 1)), 1).astype(np.float32)
        state = LayerState(shape, indices, weights, gradient.copy)
        change = rewire(make_rule("set", config), state, fraction, rng, regrow, structure=SPREAD, ablate_below=share)
        kept = np.delete(indices, change.dropped)
        after = np.concatenate([kept, change.grown])
        assert len(np.unique(after)) == len(after) == len(indices)
        assert not np.isin(change.grown, kept if regrow else indices).any()
        has = np.bincount(after // shape[1], minlength=shape[0])
        assert has[has > 0].max() - has[has > 0].min() <= 1
        indices = after


def test_without_structure_or_with_groups_nothing_can_be_ablated():
    state = layer({0: 5, 1: 6, 4: 0.1, 5: 4, 10: 0.2, 11: 0.3})
    for structure in (None, structure_of("2:4")):
        with pytest.raises(ValueError, match="only constant fan-in allows"):
            rewire(
                make_rule("rigl", TopologyConfig()),
                state,
                0.5,
                generator(0, "t"),
                structure=structure,
                ablate_below=0.3,
            )
    for settings in ({"structure": "2:4"}, {}, {"structure": "constant-fan-in", "rule": "static"}):
        with pytest.raises(ValueError, match="ablate_below needs"):
            TopologyConfig(ablate_below=0.3, **settings)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="ablate_below must be"):
            TopologyConfig(structure="constant-fan-in", ablate_below=share)
