"""Dropping under norms: magnitudes compare within a unit, and no unit loses its last input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewirl.seeding import generator
from rewirl.topology import LayerState, TopologyConfig, make_rule, random_indices, rewire
from rewirl.topology.rules import drop
from rewirl.topology.structure import structure_of

SHAPE = (3, 5)


def scores(indices, weights, shape=SHAPE, height=1):
    state = LayerState(shape, np.array(indices), np.float32(weights), height=height)
    return drop.relative(state, 0.5, generator(0, "t"))


def test_a_weight_counts_by_the_root_mean_square_of_its_unit():
    # unit 0: 3 and 4 at 0 and 2, root mean square 5 / sqrt 2; unit 1: 0.06 and 0.08, as 3 and 4; unit 2: 7 alone
    found = scores([0, 2, 5, 9, 12], [3, -4, 0.06, 0.08, 7])
    assert found == pytest.approx([3 * np.sqrt(2) / 5, np.inf, 3 * np.sqrt(2) / 5, np.inf, np.inf], rel=1e-6)


def test_with_rows_of_unit_norm_it_is_the_magnitude_times_the_root_of_the_fan_in():
    rng = np.random.default_rng(0)
    indices = np.sort(rng.choice(20 * 30, 150, replace=False))
    weights, units = rng.normal(size=150), indices // 30
    fan_in, norms = (np.bincount(units, w, 20) for w in (None, weights**2))
    weights /= np.sqrt(norms)[units]
    found = scores(indices, weights, (20, 30))
    finite = np.isfinite(found)
    assert found[finite] == pytest.approx((np.abs(weights) * np.sqrt(fan_in[units]))[finite], rel=1e-5)
    assert np.bincount(units[~finite], minlength=20).tolist() == np.minimum(fan_in, 1).tolist()


def test_grown_zeros_and_units_of_zeros_go_first_but_for_one_of_each_unit():
    found = scores([0, 1, 5, 6, 7], [0, 0.5, 0, 0, 0])
    assert found.tolist() == [0.0, np.inf, np.inf, 0.0, 0.0]  # of equal ones the first stays


def test_in_blocks_the_strongest_block_of_each_group_stays():
    # two groups of two units; blocks of inputs 0, 1, 2 in the first, 3 in the second
    indices = [0, 1, 2, 5, 6, 7, 13, 18]
    weights = [1, 2, 2, 0.2, 0.1, 0.2, 9, 9]
    found = scores(indices, weights, (4, 5), height=2)
    assert np.isinf(found).tolist() == [False, False, True, False, False, True, True, True]


@given(
    spread=st.sampled_from(["unstructured", "4x1", "8x1"]),
    shape=st.tuples(st.integers(2, 24), st.integers(4, 24)),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_no_unit_that_has_inputs_is_left_without(spread, shape, fraction, seed):
    rng, structure = np.random.default_rng(seed), structure_of(spread)
    indices = random_indices(shape, 0.3, rng) if structure is None else structure.draw(shape, 0.3, rng)
    rule = make_rule("set", TopologyConfig(rule="set", drop="relative", structure=spread))
    for _ in range(4):
        before = np.bincount(indices // shape[1], minlength=shape[0])
        weights = rng.normal(size=len(indices)) * 10.0 ** rng.uniform(-3, 3, shape[0])[indices // shape[1]]
        state = LayerState(shape, indices, weights.astype(np.float32))
        change = rewire(rule, state, fraction, rng, structure=structure)
        indices = np.concatenate([np.delete(indices, change.dropped), change.grown])
        after = np.bincount(indices // shape[1], minlength=shape[0])
        assert (after[before > 0] > 0).all()


def test_plain_magnitudes_starve_units_of_small_scale():
    """Which is why agents whose units are behind a batch norm drop by relative ones."""
    rng, shape = np.random.default_rng(0), (20, 40)
    scale = np.where(np.arange(20) < 10, 0.1, 1.0)  # a norm undoes that
    left = {}
    for name in ("magnitude", "relative"):
        rule, indices = make_rule("set", TopologyConfig(rule="set", drop=name)), random_indices(shape, 0.2, rng)
        for _ in range(30):
            weights = rng.normal(size=len(indices)) * scale[indices // 40]
            change = rewire(rule, LayerState(shape, indices, weights.astype(np.float32)), 0.2, rng)
            indices = np.concatenate([np.delete(indices, change.dropped), change.grown])
        left[name] = np.bincount(indices // 40, minlength=20)
    assert left["magnitude"][:10].sum() < 0.6 * left["magnitude"][10:].sum()
    assert left["relative"][:10].sum() > 0.8 * left["relative"][10:].sum()
