"""How many connections each layer is to have after an event."""

from __future__ import annotations

import numpy as np
import pytest

from rewirl.topology import TopologyConfig, densities, density_at, layer_budgets

SHAPES = [(30, 10), (30, 30), (2, 30)]
SIZES = [300, 900, 60]


def never(layer):
    raise AssertionError("only distribution global asks for scores")


def test_without_an_initial_sparsity_layers_keep_what_they_have():
    assert layer_budgets(TopologyConfig(sparsity=0.9), SHAPES, (31, 85, 60), 500, never) == [31, 85, 60]


def test_layers_follow_their_schedule_whatever_they_have():
    config = TopologyConfig(
        rule="prune", sparsity=0.8, initial_sparsity=0.0, sparsity_start=100, sparsity_end=300, distribution="uniform"
    )
    for update, density in ((1, 1.0), (100, 1.0), (200, 0.2 + 0.8 / 8), (300, 0.2), (999, 0.2)):
        assert layer_budgets(config, SHAPES, (0, 0, 0), update, never) == [round(density * size) for size in SIZES]
    own = TopologyConfig(
        rule="prune", sparsity=0.5, actor_sparsity=0.8, initial_sparsity=0.0, sparsity_end=300, distribution="uniform"
    )
    assert layer_budgets(own.of("actor"), SHAPES, (0, 0, 0), 300, never) == [60, 180, 12]
    assert layer_budgets(own.of("critic1"), SHAPES, (0, 0, 0), 300, never) == [150, 450, 30]


def test_growing_by_connectivity_takes_nothing_from_a_layer():
    config = TopologyConfig(
        distribution="connectivity", sparsity=0.5, initial_sparsity=0.8, sparsity_start=0, sparsity_end=100
    )
    first, last = densities(config.at_start, SHAPES), densities(config, SHAPES)
    due = [round(density_at(50, a, b, 0, 100) * size) for a, b, size in zip(first, last, SIZES, strict=True)]
    assert layer_budgets(config, SHAPES, (0, 0, 0), 50, never) == due
    assert layer_budgets(config, SHAPES, (due[0] + 5, 0, 60), 50, never) == [due[0] + 5, due[1], 60]


def test_with_distribution_global_the_best_of_the_whole_network_stay():
    config = TopologyConfig(
        rule="prune", distribution="global", sparsity=0.5, initial_sparsity=0.0, sparsity_start=0, sparsity_end=100
    )
    shapes, scores = [(1, 4), (1, 2)], {0: np.array([1.0, 2.0, 9.0, 8.0]), 1: np.array([7.0, 0.5])}
    asked = []

    def score(layer):
        asked.append(layer)
        return scores[layer]

    assert layer_budgets(config, shapes, (4, 2), 100, score) == [2, 1]  # 9, 8 and 7
    assert asked == [0, 1]  # in turn, for they may draw from one stream
    assert layer_budgets(config, shapes, (2, 1), 100, never) == [2, 1]  # nothing to drop, nothing to rank
    assert layer_budgets(config, shapes, (4, 2), 0, never) == [4, 2]


def test_global_needs_a_sparsity():
    config = TopologyConfig(
        rule="prune", distribution="global", sparsity=None, initial_sparsity=0.0, sparsity_start=0, sparsity_end=100
    )
    with pytest.raises(ValueError, match="neither a sparsity nor lambdas"):
        densities(config, SHAPES)


def test_a_layer_of_one_place_keeps_its_connection():
    """Half of it is rounded to none, and what comes after would never hear of the inputs again."""
    config = TopologyConfig(rule="prune", sparsity=0.5, initial_sparsity=0.0, distribution="uniform", sparsity_end=4)
    assert layer_budgets(config, [(1, 3), (1, 1)], (3, 1), 4, never) == [2, 1]
