"""Whatever the rule, the structure, the shape and the density: after an event there are as many connections as due."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewirl.topology import RULES, LayerState, TopologyConfig, make_rule, random_indices, rewire
from rewirl.topology.structure import structure_of


def config_of(name):
    """The least that a configuration needs for a rule."""
    return TopologyConfig(rule=name, initial_sparsity=0.0 if name == "prune" else None)


@pytest.mark.parametrize("name", RULES)
@given(
    spread=st.sampled_from(["unstructured", "constant-fan-in", "1:2", "2:4", "3:7", "5:16", "4x1", "8x1"]),
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    density=st.floats(0, 1),
    fraction=st.floats(0, 1),
    regrow=st.booleans(),
    share=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_an_event_conserves_the_connections(name, spread, shape, density, fraction, regrow, share, seed):
    rng = np.random.default_rng(seed)
    structure = structure_of(spread)
    share = share if spread == "constant-fan-in" else 0.0
    indices = random_indices(shape, density, rng) if structure is None else structure.draw(shape, density, rng)
    for _ in range(3):
        weights = rng.normal(size=len(indices)).astype(np.float32)
        gradient = rng.normal(size=shape).astype(np.float32)
        state = LayerState(shape, indices, weights, gradient.copy)
        change = rewire(
            make_rule(name, config_of(name)), state, fraction, rng, regrow, structure=structure, ablate_below=share
        )
        after = np.concatenate([np.delete(indices, change.dropped), change.grown])
        assert len(np.unique(after)) == len(after) == len(indices)
        assert regrow or not np.isin(change.grown, indices).any()
        assert len(after) == 0 or (after.min() >= 0 and after.max() < shape[0] * shape[1])
        if structure is not None and not share:
            assert structure.kept(shape, indices, after)
        if name in ("static", "prune"):
            assert np.array_equal(np.sort(after), np.sort(indices))
        indices = rng.permutation(after)


@pytest.mark.parametrize("name", [name for name in RULES if name != "static"])
@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    shares=st.lists(st.floats(0, 1), min_size=2, max_size=5),
    fraction=st.floats(0, 1),
    regrow=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_events_follow_any_schedule_of_densities(name, shape, shares, fraction, regrow, seed):
    rng = np.random.default_rng(seed)
    indices = random_indices(shape, shares[0], rng)
    for share in shares[1:]:
        wanted = round(share * shape[0] * shape[1])
        weights = rng.normal(size=len(indices)).astype(np.float32)
        gradient = rng.normal(size=shape).astype(np.float32)
        state = LayerState(shape, indices, weights, gradient.copy)
        change = rewire(make_rule(name, config_of(name)), state, fraction, rng, regrow, connections=wanted)
        after = np.concatenate([np.delete(indices, change.dropped), change.grown])
        assert len(np.unique(after)) == len(after) == wanted
        if name == "prune":
            assert not (len(change.grown) and len(change.dropped))
        indices = after
