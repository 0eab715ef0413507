"""Topologies of blocks: 4 or 8 neighbouring outputs that share an input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from rewirl.seeding import generator
from rewirl.topology import (
    LayerState,
    Rule,
    TopologyConfig,
    densities,
    drop_scores,
    layer_budgets,
    make_rule,
    random_topology,
    rewire,
)
from rewirl.topology.structure import structure_of

FOUR = structure_of("4x1")
DROPS = ("paper", "magnitude", "l2", "sensitivity", "random")
GROWS = ("paper", "random", "gradient")


def blocks_of(shape, indices, height=4):
    """Which inputs each group of outputs has; refuses what is not in whole blocks."""
    matrix = np.zeros(shape, dtype=bool)
    matrix.reshape(-1)[indices] = True
    groups = [matrix[begin : begin + height] for begin in range(0, shape[0], height)]
    assert all((group == group[0]).all() for group in groups)
    return [np.flatnonzero(group[0]).tolist() for group in groups]


def layer(shape, inputs, weights, gradient=None, height=4):
    """A layer whose groups of outputs have these inputs; all weights of a block are what `weights` says of it."""
    matrix = np.full(shape, np.nan, dtype=np.float32)
    for group, (columns, of_blocks) in enumerate(zip(inputs, weights, strict=True)):
        for column, weight in zip(columns, of_blocks, strict=True):
            rows = matrix[group * height : (group + 1) * height]
            rows[:, column] = np.resize(weight, len(rows))
    indices = np.flatnonzero(~np.isnan(matrix))
    compute = None if gradient is None else lambda: np.float32(gradient).reshape(shape)
    return LayerState(shape, indices, matrix.reshape(-1)[indices], compute)


def event(state, rule="set", fraction=0.5, regrow=False, connections=None, seed="t", **options):
    config = TopologyConfig(structure="4x1", rule=rule, **options)
    change = rewire(make_rule(rule, config), state, fraction, generator(0, seed), regrow, connections, FOUR)
    kept = np.delete(state.indices, change.dropped)
    after = np.concatenate([kept, change.grown])
    assert len(np.unique(after)) == len(after)
    return blocks_of(state.shape, state.indices[change.dropped]), blocks_of(state.shape, change.grown)


# Drawing


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    density=st.floats(0, 1),
    name=st.sampled_from(["4x1", "8x1"]),
    seed=st.integers(0, 1000),
)
def test_a_layer_is_within_half_a_block_of_its_distribution(shape, density, name, seed):
    structure = structure_of(name)
    indices = structure.draw(shape, density, np.random.default_rng(seed))
    assert (np.diff(indices) > 0).all() and structure.whole(shape, indices)
    if shape[0] >= structure.height:
        blocks_of(shape, indices, structure.height)
        assert abs(len(indices) - density * shape[0] * shape[1]) <= structure.height / 2 + 1e-9


def test_the_last_group_is_smaller_and_as_dense():
    groups = blocks_of((10, 20), FOUR.draw((10, 20), 0.3, generator(0, "t")))
    assert len(groups) == 3 and len(groups[2]) == 6
    assert len(groups[0]) + len(groups[1]) == 12


def test_every_block_is_equally_likely():
    rng, counts = generator(0, "many"), np.zeros((10, 6))
    for _ in range(1500):
        counts.reshape(-1)[FOUR.draw((10, 6), 0.5, rng)] += 1
    assert chisquare(counts[[0, 4]].reshape(-1)).pvalue > 1e-3
    assert chisquare(counts[8]).pvalue > 1e-3


def test_a_layer_with_fewer_outputs_than_a_block_is_unstructured():
    """It is drawn and rewired as ever, to the bit."""
    shapes, density = [(12, 9), (3, 12)], [0.4, 0.5]
    drawn = random_topology(shapes, density, generator(0, "t"), FOUR)
    assert len({tuple(row) for row in (drawn[1][:, None] // 12 == np.arange(3)).T}) > 1
    assert FOUR.height_in((3, 12)) == 1 and FOUR.height_in((4, 12)) == 4
    config = TopologyConfig(structure="4x1", drop="magnitude")
    assert [config.structure_in(shape) for shape in shapes] == ["4x1", "unstructured"]
    assert [config.block_height(shape) for shape in shapes] == [4, 1]
    assert TopologyConfig().block_height((256, 256)) == 1
    state = LayerState((3, 12), drawn[1], generator(0, "w").normal(size=len(drawn[1])).astype(np.float32))
    changes = [rewire(make_rule("set", config), state, 0.4, generator(0, "t"), structure=s) for s in (None, FOUR)]
    assert np.array_equal(changes[0].dropped, changes[1].dropped) and len(changes[0].dropped)
    assert np.array_equal(changes[0].grown, changes[1].grown)


# Dropping and growing, by hand


def test_the_blocks_of_the_smallest_mean_magnitude_are_dropped():
    """Two groups of four outputs; one block has the smallest single weight but not the smallest mean."""
    state = layer((8, 3), [[0, 1], [0, 2]], [[[0.5], [0.0, 0.0, 3, -3]], [[-0.4, 0.4, 0.4, -0.4], [2]]])
    assert event(state, fraction=0.25)[0] == [[], [0]]  # 0.5, 1.5, 0.4 and 2
    assert event(state, fraction=0.5)[0] == [[0], [0]]
    assert event(state, fraction=0.25, drop="magnitude")[0] == [[], [0]]
    assert event(state, fraction=0.24) == ([[], []], [[], []])


def test_l1_and_l2_rank_blocks_differently():
    state = layer((4, 3), [[0, 1]], [[[1.0], [0.0, 0.0, 0.0, 3.0]]])  # L1 4 and 3, L2 2 and 3
    assert event(state, drop="magnitude")[0] == [[1]]
    assert event(state, drop="l2")[0] == [[0]]


def test_signs_do_not_cancel_or_count():
    state = layer((4, 4), [[0, 1]], [[[-5.0, 5, -5, 5], [0.1]]])
    assert event(state)[0] == [[1]]
    assert event(layer((4, 4), [[0, 1]], [[[-5.0], [-0.1]]]))[0] == [[1]]


def test_a_smaller_last_group_is_judged_by_its_mean():
    """Its sum is the smallest, its mean is not."""
    state = layer((6, 3), [[0, 1], [0]], [[[0.9], [5]], [[1.0]]])
    assert event(state, fraction=0.34)[0] == [[0], []]
    assert event(state, fraction=0.67)[0] == [[0], [0]]


def test_sensitivity_is_the_mean_over_the_block():
    gradient = np.array([[0, 8, 1, 1]] + [[1, 0, 1, 1]] * 3)
    state = layer((4, 4), [[0, 1]], [[[1.0], [1.0]]], gradient)  # |w g|: 0 1 1 1 and 8 0 0 0
    assert event(state, drop="sensitivity")[0] == [[0]]


def test_growth_is_where_the_sum_of_gradient_magnitudes_is_largest():
    gradient = np.array([[0, 9, -3, 0], [0, -9, -3, 0], [0, 9, -3, 0], [0, -9, -3, 5]])  # sums 0, 36, 12, 5
    state = layer((4, 4), [[0]], [[[1.0]]], gradient)
    assert event(state, "rigl", fraction=1.0) == ([[0]], [[1]])
    grown = event(state, "rigl", fraction=0.0, connections=12)[1]
    assert grown == [[1, 2]]


def test_a_group_grows_where_it_likes_but_the_smaller_last_one_among_itself():
    """The gradient is largest in the last group; what the full groups lose grows in full groups."""
    gradient = np.zeros((10, 3))
    gradient[8:] = 100
    gradient[4:8] = [0, 1, 2]
    state = layer((10, 3), [[0, 1], [0], [0, 1]], [[[0.1], [2]], [[3]], [[4], [5]]], gradient)
    assert event(state, "rigl", fraction=0.2) == ([[0], [], []], [[], [2], []])
    dropped, grown = event(state, "rigl", fraction=0.8)
    assert dropped == [[0, 1], [0], [0]]
    assert grown == [[2], [1, 2], [2]]


def test_no_more_is_dropped_than_there_is_room_for():
    state = layer((4, 3), [[0, 1]], [[[0.1], [0.2]]])
    assert event(state, fraction=1.0) == ([[0]], [[2]])
    dropped, grown = event(state, fraction=1.0, regrow=True)
    assert dropped == [[0, 1]] and len(grown[0]) == 2


def test_a_block_of_which_one_connection_must_stay_stays_and_one_that_must_go_goes():
    class Marked(Rule):
        def drop_score(self, state, fraction, rng):
            return np.where(state.weights > 5, np.inf, np.where(state.weights < -5, -np.inf, 0.0))

        def grow(self, state, occupied, count, rng):
            return np.setdiff1d(np.arange(state.total), occupied)[:count]

    state = layer((4, 9), [[0, 1, 2, 3]], [[[9, 0, 0, 0], [-9, 0, 0, 0], [9, -9, 0, 0], [1]]])
    for fraction, expected in ((0.0, [1]), (1.0, [1, 3])):
        change = rewire(Marked(TopologyConfig()), state, fraction, generator(0, "t"), structure=FOUR)
        assert blocks_of((4, 9), state.indices[change.dropped]) == [expected]


def test_random_drops_are_uniform_over_blocks_whatever_their_size():
    state = layer((5, 4), [[0, 1, 2], [0, 1, 2]], [[[1], [1], [1]], [[1], [1], [1]]])
    counts = np.zeros((2, 3))
    rule, rng = make_rule("set", TopologyConfig(structure="4x1", drop="random")), generator(0, "many")
    for _ in range(1200):
        change = rewire(rule, state, 0.17, rng, structure=FOUR)
        for group, columns in enumerate(blocks_of((5, 4), state.indices[change.dropped])):
            counts[group, columns] += 1
    assert counts.sum() == 1200 and chisquare(counts.reshape(-1)).pvalue > 1e-3


def test_random_growth_is_uniform_over_the_free_blocks():
    state = layer((8, 4), [[0, 1], [0, 2]], [[[1], [2]], [[3], [4]]])
    counts = np.zeros((2, 4))
    rng, rule = generator(0, "many"), make_rule("set", TopologyConfig(structure="4x1"))
    for _ in range(800):
        for group, columns in enumerate(blocks_of((8, 4), rewire(rule, state, 0.25, rng, structure=FOUR).grown)):
            counts[group, columns] += 1
    assert chisquare(counts[[0, 0, 1, 1], [2, 3, 1, 3]]).pvalue > 1e-3 and counts.sum() == 800


# Changing numbers


def test_pruning_drops_the_weakest_blocks_to_the_nearest_number():
    def pruned(connections):
        state = layer((6, 2), [[0, 1], [0, 1]], [[[1], [3]], [[2], [4]]])
        return event(state, "prune", connections=connections, initial_sparsity=0.0)[0]

    assert pruned(12) == pruned(11) == pruned(10) == [[], []]  # in doubt more stay
    assert pruned(9) == pruned(8) == pruned(7) == [[0], []]
    assert pruned(6) == pruned(5) == pruned(4) == [[0], [0]]
    assert pruned(3) == pruned(1) == [[0, 1], [0]]  # at least one block
    assert pruned(0) == [[0, 1], [0, 1]]
    last = layer((4, 2), [[0, 1]], [[[1], [2]]])
    assert event(last, "prune", connections=1, initial_sparsity=0.0)[0] == [[0]]  # though none at all is nearer to 1


@pytest.mark.parametrize("name", ["set", "rigl", "prune"])
@given(
    shape=st.tuples(st.integers(4, 24), st.integers(1, 24)),
    shares=st.lists(st.floats(0, 1), min_size=2, max_size=5),
    fraction=st.floats(0, 1),
    regrow=st.booleans(),
    drop=st.sampled_from(DROPS),
    grow=st.sampled_from(GROWS),
    seed=st.integers(0, 10_000),
)
def test_events_follow_any_schedule_within_half_a_block(name, shape, shares, fraction, regrow, drop, grow, seed):
    rng = np.random.default_rng(seed)
    config = TopologyConfig(structure="4x1", rule=name, drop=drop, grow=grow, initial_sparsity=0.0)
    indices = FOUR.draw(shape, shares[0], rng)
    for share in shares[1:]:
        due = round(share * shape[0] * shape[1])
        weights, gradient = (np.round(rng.normal(size=n), 1).astype(np.float32) for n in (len(indices), shape))
        state = LayerState(shape, indices, weights, gradient.copy)
        change = rewire(make_rule(name, config), state, fraction, rng, regrow, due, FOUR)
        after = np.sort(np.concatenate([np.delete(indices, change.dropped), change.grown]))
        assert len(np.unique(after)) == len(after) and FOUR.whole(shape, after)
        assert abs(len(after) - due) <= (2 if len(after) > 4 else 4)  # at least one block for one connection
        if name == "prune":
            assert not (len(change.grown) and len(change.dropped))
        indices = rng.permutation(after)


def test_growth_is_shared_by_the_groups_in_proportion_to_their_room():
    state = layer((10, 40), [[0], [1], [2]], [[[1]], [[1]], [[1]]])
    grown = event(state, "set", fraction=0.0, connections=10 + 5 * 39)[1]
    assert len(grown[0]) + len(grown[1]) == 39 and len(grown[2]) in (19, 20)


def test_global_ranking_compares_the_means_of_blocks_over_layers():
    config = TopologyConfig(
        structure="4x1", rule="prune", distribution="global", sparsity=0.5, initial_sparsity=0.0, sparsity_end=100
    )
    states = [
        layer((4, 2), [[0, 1]], [[[9, 0, 0, 0], [5]]]),  # 2.25 and 5
        layer((8, 1), [[0], [0]], [[[3]], [[1]]]),
    ]
    rule = make_rule("prune", config)
    scores = [drop_scores(rule, state, 0.0, generator(0, "t"), FOUR) for state in states]
    assert sorted(scores[0]) == [2.25] * 4 + [5.0] * 4
    budgets = layer_budgets(config, [s.shape for s in states], [8, 8], 100, lambda index: scores[index])
    assert budgets == [4, 4]
    dropped = [
        blocks_of(s.shape, s.indices[rewire(rule, s, 0.0, generator(0, "t"), False, b, FOUR).dropped])
        for s, b in zip(states, budgets, strict=True)
    ]
    assert dropped == [[[0]], [[], [0]]]


def test_set_may_be_ranked_globally_where_its_drop_is_a_magnitude():
    TopologyConfig(structure="8x1", rule="set", distribution="global", initial_sparsity=0.0)
    with pytest.raises(ValueError, match="distribution global"):
        TopologyConfig(rule="set", distribution="global", initial_sparsity=0.0)


@pytest.mark.parametrize("distribution", ["erdos-renyi", "uniform"])
@pytest.mark.parametrize("name", ["4x1", "8x1"])
def test_distributions_hold_for_blocks(distribution, name):
    config = TopologyConfig(structure=name, sparsity=0.8, distribution=distribution)
    shapes = [(256, 17), (100, 256), (6, 100)]
    due = densities(config, shapes)
    assert due == densities(TopologyConfig(sparsity=0.8, distribution=distribution), shapes)
    for shape, density, indices in zip(
        shapes[:2], due, random_topology(shapes, due, generator(0, "t"), config.spread), strict=False
    ):
        assert abs(len(indices) - density * shape[0] * shape[1]) <= config.spread.height / 2


# What is refused


@pytest.mark.parametrize("name", ["4x2", "1x4", "2x1", "16x1", "4x1,2:4", "4x", "x1", "4 x 1"])
def test_other_blocks_are_refused(name):
    with pytest.raises(ValueError, match=r"blocks of 4x1 or 8x1 \(outputs x inputs\), got"):
        TopologyConfig(structure=name)


@pytest.mark.parametrize("drop", ["halves", "code"])
@pytest.mark.parametrize("structure", ["4x1", "8x1"])
def test_criteria_by_sign_are_refused_by_name(drop, structure):
    with pytest.raises(ValueError, match=f"drop {drop} ranks weights by sign, which a block of structure {structure}"):
        TopologyConfig(structure=structure, drop=drop)
    for other in ("magnitude", "relative", "l2", "sensitivity", "random"):
        TopologyConfig(structure=structure, drop=other)
        with pytest.raises(ValueError, match=f"give drop .*{other}"):
            TopologyConfig(structure=structure, drop=drop)


def test_ablation_and_blocks_exclude_each_other():
    with pytest.raises(ValueError, match="ablate_below needs structure constant-fan-in, not 4x1"):
        TopologyConfig(structure="4x1", ablate_below=0.3, rule="rigl")
    state = layer((4, 2), [[0]], [[[1]]])
    with pytest.raises(ValueError, match="only constant fan-in allows"):
        rewire(make_rule("set", TopologyConfig()), state, 0.5, generator(0, "t"), structure=FOUR, ablate_below=0.3)


@pytest.mark.parametrize("structure", ["4x1", "8x1"])
def test_connections_that_are_not_in_whole_blocks_are_refused(structure):
    state = LayerState((8, 3), np.array([0, 3, 6]), np.ones(3, np.float32))
    rule = make_rule("set", TopologyConfig(structure=structure))
    for call in (rewire, drop_scores):
        with pytest.raises(ValueError, match=f"shape \\(8, 3\\) are not in blocks of {structure}"):
            call(rule, state, 0.5, generator(0, "t"), structure=structure_of(structure))


def test_a_rule_that_grows_what_is_occupied_is_named():
    class Faulty(Rule):
        def drop_score(self, state, fraction, rng):
            return np.zeros(len(state.indices))

        def grow(self, state, occupied, count, rng):
            return occupied[:count]

    with pytest.raises(ValueError, match="Faulty broke its contract: grow returned an index that is occupied"):
        rewire(Faulty(TopologyConfig()), layer((4, 2), [[0]], [[[1]]]), 1.0, generator(0, "t"), structure=FOUR)


def test_the_summary_names_the_blocks():
    assert TopologyConfig(structure="4x1", sparsity=0.9).summary() == "sparsity 0.9, 4x1, set"
    pruned = TopologyConfig(structure="8x1", sparsity=0.9, initial_sparsity=0.0, rule="prune")
    assert pruned.summary() == "sparsity 0.9, 8x1, at first 0, prune"


# A rule of a user


def test_a_rule_sees_connections_to_drop_and_a_matrix_of_blocks_to_grow():
    seen = []

    class Watching(Rule):
        uses_gradient = True

        def drop_score(self, state, fraction, rng):
            seen.append((state.shape, len(state.indices), state.height))
            return np.abs(state.weights).astype(np.float64)

        def grow(self, state, occupied, count, rng):
            seen.append((state.shape, state.indices.tolist(), state.weights.tolist(), occupied.tolist(), count))
            seen.append(state.dense_gradient().tolist())
            return np.setdiff1d(np.arange(state.total), occupied)[:count]

    gradient = np.arange(20).reshape(10, 2) * np.resize([1, -1], (10, 1))
    state = layer((10, 2), [[1], [0], [1]], [[[-1, 1, 3, -3]], [[4]], [[1, -2]]], gradient)
    change = rewire(Watching(TopologyConfig()), state, 1.0, generator(0, "t"), structure=FOUR)
    assert len(change.dropped) == len(change.grown) == 10
    assert seen == [
        ((10, 2), 10, 4),
        ((2, 2), [1, 2], [2.0, 4.0], [1, 2], 2),
        [[3.0, 4.0], [11.0, 12.0]],
        ((1, 2), [1], [1.5], [1], 1),
        [[17.0, 18.0]],
    ]
