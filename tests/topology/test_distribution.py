from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewirl.topology import (
    TopologyConfig,
    densities,
    erdos_renyi,
    erdos_renyi_for_sparsity,
    shares_of_best,
    uniform,
)
from rewirl.topology.distribution import with_connectivity

CHEETAH_ACTOR = [(256, 17), (256, 256), (6, 256)]
CHEETAH_CRITIC = [(256, 23), (256, 256), (1, 256)]


def expected(shapes, result):
    return sum(density * n_out * n_in for density, (n_out, n_in) in zip(result, shapes, strict=True))


def live(shapes, result):
    """Whole connections in the budget; the tiny term absorbs the rounding of the sum."""
    return math.floor(expected(shapes, result) + 1e-6)


# RLx2 (Tan et al. 2023), TD3: observation and action sizes; sparsities asked for; layer sparsities and connections due.
ACTORS = {
    "HalfCheetah": (17, 6, 0.90, (0.552, 0.9442, 0.0), 7142),
    "Hopper": (11, 3, 0.98, (0.8737, 0.9896, 0.5509), 1382),
    "Walker2d": (17, 6, 0.97, (0.8716, 0.984, 0.6509), 2142),
    "Ant": (111, 8, 0.96, (0.9566, 0.9738, 0.5669), 3840),
}
CRITICS = {
    "HalfCheetah": (17, 6, 0.85, (0.3712, 0.8963, 0.0), 21504),
    "Hopper": (11, 3, 0.95, (0.6905, 0.9679, 0.0), 6937),
    "Walker2d": (17, 6, 0.95, (0.8006, 0.9671, 0.0), 7168),
    "Ant": (111, 8, 0.88, (0.8433, 0.9005, 0.0), 23101),
}


@pytest.mark.parametrize("env", ACTORS)
def test_erdos_renyi_for_sparsity_reproduces_the_published_actors(env):
    obs, act, sparsity, layers, count = ACTORS[env]
    shapes = [(256, obs), (256, 256), (act, 256)]
    result = erdos_renyi_for_sparsity(shapes, sparsity)
    assert tuple(round(1 - density, 4) for density in result) == layers
    assert live(shapes, result) == count


@pytest.mark.parametrize("env", CRITICS)
def test_erdos_renyi_for_sparsity_reproduces_the_published_critics_jointly_and_alone(env):
    obs, act, sparsity, layers, count = CRITICS[env]
    shapes = [(256, obs + act), (256, 256), (1, 256)]
    both = erdos_renyi_for_sparsity(shapes * 2, sparsity)
    assert tuple(round(1 - density, 4) for density in both) == layers * 2
    assert live(shapes * 2, both) == count
    assert erdos_renyi_for_sparsity(shapes, sparsity) == pytest.approx(both[:3], rel=1e-12)


def test_erdos_renyi_is_the_papers_formula_with_a_dense_output_layer():
    actor = erdos_renyi(CHEETAH_ACTOR, (7, 64))
    assert actor == [7 * (256 + 17) / (256 * 17), 64 * 512 / 65536, 1.0]
    critic = erdos_renyi(CHEETAH_CRITIC, (7, 64))
    connections = expected(CHEETAH_ACTOR, actor) + 2 * expected(CHEETAH_CRITIC, critic)
    assert connections == pytest.approx(106_169)  # the paper's 51% sparsity of 214,784
    assert 1 - connections / 214_784 == pytest.approx(0.51, abs=0.005)


def test_erdos_renyi_with_a_lambda_for_every_layer_and_a_saturated_one():
    assert erdos_renyi([(4, 2), (8, 4), (2, 8)], (1000, 1, 0.5)) == [1.0, 12 / 32, 0.5 * 10 / 16]


def test_uniform_gives_every_layer_the_same():
    assert uniform(CHEETAH_ACTOR, 0.75) == [0.25, 0.25, 0.25]


sizes = st.lists(st.integers(8, 600), min_size=2, max_size=6)


@given(sizes=sizes, sparsity=st.floats(0, 0.8))
def test_erdos_renyi_keeps_the_total_and_the_proportions_of_what_is_not_dense(sizes, sparsity):
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    result = erdos_renyi_for_sparsity(shapes, sparsity)
    assert all(0 < density <= 1 for density in result)
    total = sum(n_out * n_in for n_out, n_in in shapes)
    assert expected(shapes, result) == pytest.approx((1 - sparsity) * total, rel=1e-9)
    eps = [density * a * b / (a + b) for density, (a, b) in zip(result, shapes, strict=True)]
    sparse = [value for value, density in zip(eps, result, strict=True) if density < 1]
    assert sparse == pytest.approx([max(sparse, default=0)] * len(sparse), rel=1e-9)
    # a dense layer is one that the eps of the others would fill
    for density, value in zip(result, eps, strict=True):
        assert density < 1 or value <= max(sparse, default=value) * (1 + 1e-9)


@given(sizes=sizes)
def test_sparsity_0_is_exactly_dense(sizes):
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    assert erdos_renyi_for_sparsity(shapes, 0.0) == uniform(shapes, 0.0) == [1.0] * len(shapes)


def test_densities_does_what_the_configuration_says():
    shapes = CHEETAH_ACTOR
    assert densities(TopologyConfig(lambdas=(7, 64)), shapes) == erdos_renyi(shapes, (7, 64))
    assert densities(TopologyConfig(sparsity=0.9), shapes) == erdos_renyi_for_sparsity(shapes, 0.9)
    assert densities(TopologyConfig(sparsity=0.5, distribution="uniform"), shapes) == [0.5] * 3
    assert densities(TopologyConfig(sparsity=0.0), shapes) == [1.0] * 3
    with pytest.raises(ValueError, match="give one of them"):
        densities(TopologyConfig(sparsity=None), shapes)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda s: erdos_renyi(s, (7,)), "1 lambdas for 3 layers"),
        (lambda s: erdos_renyi(s, (7, 7, 7, 7)), "Give 2 .* or 3; or a sparsity, such as 0.5"),
        (lambda s: erdos_renyi(s, (0, 64)), "positive"),
        (lambda s: erdos_renyi(s, (7, -1)), "positive"),
        (lambda s: erdos_renyi(s, (7, float("nan"))), "positive"),
        (lambda s: erdos_renyi(s, (0.1, 64)), "most units of layer 1 without any input"),
        (lambda s: erdos_renyi_for_sparsity(s, 1.0), "below 1"),
        (lambda s: erdos_renyi_for_sparsity(s, -0.1), "at least 0"),
        (lambda s: erdos_renyi_for_sparsity(s, float("nan")), "below 1"),
        (lambda s: erdos_renyi_for_sparsity(s, 0.999), "Lower the sparsity"),
        (lambda s: uniform(s, 1.0), "below 1"),
        (lambda s: uniform(s, 0.97), "erdos-renyi"),
    ],
)
def test_an_impossible_setting_is_refused_with_the_table_of_layers(attempt, message):
    with pytest.raises(ValueError, match=re.compile(message)) as raised:
        attempt(CHEETAH_ACTOR)
    for shape in ("256 x 17", "256 x 256", "6 x 256"):
        assert shape in str(raised.value)


def test_the_table_of_layers_by_hand():
    with pytest.raises(ValueError, match="most units of layer 1") as raised:
        erdos_renyi([(20, 10), (2, 20)], (0.3,))
    rows = [" ".join(line.split()) for line in str(raised.value).splitlines()[1:4]]
    assert rows[0] == "layer shape density connections inputs per unit"
    assert rows[1:] == ["1 20 x 10 0.0450 9 0.45", "2 2 x 20 1.0000 40 20.00"]


def test_published_sparsities_up_to_99_percent_are_possible():
    for sparsity in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99):
        erdos_renyi_for_sparsity(CHEETAH_ACTOR, sparsity)
        erdos_renyi_for_sparsity(CHEETAH_CRITIC, sparsity)


def test_the_best_of_a_network_by_hand():
    scores = [np.array([5.0, 1.0, 7.0]), np.array([0.5, 0.1]), np.array([6.0, 2.0, 3.0, 4.0])]
    assert shares_of_best(scores, 9) == [3, 2, 4]
    assert shares_of_best(scores, 5) == [2, 1, 2]  # 7 6 5 4, and 0.5 so that the second layer has one
    assert shares_of_best(scores, 3) == [1, 1, 1]
    ties = [np.zeros(3), np.zeros(2)]
    assert shares_of_best(ties, 4) == [2, 2] and shares_of_best(ties, 3) == [1, 2]
    infinite = [np.array([-np.inf, -np.inf]), np.full(3, np.inf), np.array([np.inf, -np.inf])]
    assert shares_of_best(infinite, 3) == [1, 1, 1] and shares_of_best(infinite, 5) == [1, 3, 1]


@given(seed=st.integers(0, 10_000), layers=st.integers(1, 5), ties=st.booleans())
def test_the_best_of_a_network_are_as_many_as_asked_for_and_no_layer_is_without(seed, layers, ties):
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=rng.integers(1, 30)) for _ in range(layers)]
    scores = [np.round(layer) for layer in scores] if ties else scores
    count = int(rng.integers(layers, sum(map(len, scores)) + 1))
    shares = shares_of_best(scores, count)
    assert sum(shares) == count and min(shares) >= 1
    kept = np.sort(np.concatenate([np.sort(layer)[len(layer) - n :] for layer, n in zip(scores, shares, strict=True)]))
    if min(shares) > 1:  # no layer had to be helped out
        assert np.array_equal(kept, np.sort(np.concatenate(scores))[-count:])


def test_a_sparsity_that_scores_spread_over_the_layers_starts_dense():
    shapes = [(256, 17), (256, 256), (6, 256)]
    config = TopologyConfig(distribution="global", rule="prune", sparsity=0.95, initial_sparsity=0.0)
    assert densities(config.at_start, shapes) == [1.0, 1.0, 1.0]
    assert config.summary() == "sparsity 0.95, global, at first 0, prune"
    assert densities(config, shapes) == pytest.approx([0.05] * 3)
    with pytest.raises(ValueError, match="fewer connections than layers"):
        densities(config, [(2, 3), (2, 2), (1, 2)])
    for settings, message in (
        ({"initial_sparsity": None}, "give initial_sparsity 0"),
        ({"initial_sparsity": 0.5}, "give initial_sparsity 0"),
        ({"layer_sparsities": (0.5, 0.5)}, "leave lambdas and layer_sparsities out"),
        ({"lambdas": (7.0, 7.0)}, "leave lambdas and layer_sparsities out"),
        ({"rule": "set"}, "give drop magnitude, relative, l2, sensitivity or random"),
        ({"drop": "halves"}, "give drop magnitude, relative, l2, sensitivity or random"),
        ({"drop": "code"}, "give drop magnitude, relative, l2, sensitivity or random"),
    ):
        usual = {"distribution": "global", "rule": "rigl", "sparsity": 0.95, "initial_sparsity": 0.0}
        with pytest.raises(ValueError, match=message):
            TopologyConfig(**{**usual, **settings})


@pytest.mark.parametrize(
    "final",
    [{"lambdas": (7.0, 64.0)}, {"layer_sparsities": (0.5, 0.6, 0.7)}, {"actor_sparsity": 0.9, "sparsity": None}],
)
def test_a_sparsity_that_changes_begins_with_the_initial_one_however_the_final_one_is_given(final):
    config = TopologyConfig(initial_sparsity=0.25, distribution="uniform", **final)
    assert densities(config.at_start.of("actor"), CHEETAH_ACTOR) == [0.75] * 3
    assert densities(config.of("actor").at_start, CHEETAH_ACTOR) == [0.75] * 3
    assert densities(config.of("actor"), CHEETAH_ACTOR) != [0.75] * 3


def test_what_is_added_is_split_by_what_layers_lack_by_hand():
    shapes = [(10, 10), (2, 10)]  # of 20 and 12 nodes: floors of 29.957 and 14.909
    floors = 10 * math.log(20), 6 * math.log(12)
    start = [0.1, 0.3]  # 10 and 6 connections, so 19.957 and 8.909 are lacking
    lack = floors[0] - 10, floors[1] - 6
    result = with_connectivity(shapes, start, 0.8)  # 24 connections: 8 are added
    assert result == pytest.approx(
        [(10 + 8 * lack[0] / sum(lack)) / 100, (6 + 8 * lack[1] / sum(lack)) / 20], rel=1e-12
    )
    assert expected(shapes, result) == pytest.approx(24)
    # A layer that lacks none gets nothing; where none lacks any, it is by nodes; no layer gets more than it has room.
    assert with_connectivity(shapes, [0.5, 0.3], 1 - 60 / 120) == pytest.approx([0.5, 0.5])
    assert with_connectivity(shapes, [0.5, 0.8], 1 - 70 / 120) == pytest.approx(
        [0.5 + 0.04 * 20 / 32, 0.8 + 0.2 * 12 / 32]
    )
    assert with_connectivity(shapes, [0.5, 0.3], 0.1) == pytest.approx([0.88, 1.0])


@given(start=st.floats(0.9, 0.97), added=st.floats(0.0, 0.8), width=st.integers(60, 300), inputs=st.integers(3, 100))
def test_by_connectivity_the_sparsity_is_met_and_no_layer_loses(start, added, width, inputs):
    shapes, sparsity = [(width, inputs), (width, width), (2, width)], start * (1 - added)
    config = TopologyConfig(
        distribution="connectivity", rule="set", sparsity=sparsity, initial_sparsity=start + 1e-9, adapt_fraction=0.0
    )
    try:
        first = densities(config.at_start, shapes)
    except ValueError:
        return  # too sparse for such layers
    assert first == erdos_renyi_for_sparsity(shapes, start + 1e-9)
    last = densities(config, shapes)
    assert expected(shapes, last) == pytest.approx((1 - sparsity) * expected(shapes, [1.0] * 3))
    assert all(b >= a and b <= 1 + 1e-12 for a, b in zip(first, last, strict=True))


def test_connectivity_needs_something_that_is_added():
    usual = {"distribution": "connectivity", "rule": "set", "sparsity": 0.9}
    for settings in ({}, {"initial_sparsity": 0.9}, {"initial_sparsity": 0.91, "actor_sparsity": 0.95}):
        with pytest.raises(ValueError, match="give an initial_sparsity of more than"):
            TopologyConfig(**usual, **settings)
    with pytest.raises(ValueError, match="leave lambdas"):
        TopologyConfig(**{**usual, "sparsity": None, "lambdas": (7.0, 7.0), "initial_sparsity": 0.95})
    assert TopologyConfig(**usual, initial_sparsity=0.91).summary() == "sparsity 0.9, connectivity, at first 0.91, set"


@pytest.mark.parametrize("shapes", [[], [(0, 3)], [(3, 0), (2, 3)]])
def test_a_network_without_units_is_refused(shapes):
    with pytest.raises(ValueError, match="at least one"):
        uniform(shapes, 0.5)
    with pytest.raises(ValueError, match="at least one"):
        erdos_renyi(shapes, (1,))


@pytest.mark.parametrize(
    "field",
    [
        {"sparsity": 1.0},
        {"sparsity": -0.1},
        {"sparsity": float("nan")},
        {"lambdas": (7.0, 0.0)},
        {"lambdas": (7.0, math.inf)},
        {"distribution": "erdos_renyi"},
        {"drop": "smallest"},
        {"adapt_every": 0},
        {"adapt_fraction": 1.1},
        {"adapt_fraction": float("nan")},
        {"adapt_offset": 1000},
        {"adapt_offset": -1},
        {"adapt_end": -1},
    ],
)
def test_the_configuration_refuses_a_field_out_of_range_and_names_it(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        TopologyConfig(**field)


def test_sparsities_can_be_given_layer_by_layer():
    shapes = [(256, 170), (256, 256), (6, 256)]
    config = TopologyConfig(layer_sparsities=(0.8, 0.0, 0.25))
    assert densities(config, shapes) == pytest.approx([0.2, 1.0, 0.75])
    assert densities(config.at_start, shapes) == densities(config, shapes)
    with pytest.raises(ValueError, match="2 layer_sparsities for a network of 3 layers"):
        densities(TopologyConfig(layer_sparsities=(0.5, 0.5)), shapes)
    with pytest.raises(ValueError, match="without any input"):
        densities(TopologyConfig(layer_sparsities=(0.999, 0.0, 0.0)), shapes)
    for settings in ({"layer_sparsities": (0.5, 1.0)}, {"layer_sparsities": (0.5,), "actor_sparsity": 0.5}):
        with pytest.raises(ValueError, match="layer_sparsities"):
            TopologyConfig(**settings)
