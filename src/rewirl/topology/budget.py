"""How many connections each layer of a network has: at the start, and after an event."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.config import TopologyConfig
from rewirl.topology.distribution import (
    Shapes,
    by_layer,
    erdos_renyi,
    erdos_renyi_for_sparsity,
    uniform,
    with_connectivity,
)
from rewirl.topology.fan_in import FanIn
from rewirl.topology.indices import lowest
from rewirl.topology.schedule import density_at


def densities(config: TopologyConfig, shapes: Shapes) -> list[float]:
    """Return the density of every layer of one network.

    Args:
        config: its `structure` if that is N:M, else its `layer_sparsities` if given, else its `lambdas`, else its
            `sparsity` and `distribution`, decide.
        shapes: (n_out, n_in) of every layer, from the input to the output.

    Returns:
        One density in (0, 1] per layer; 1 is a dense layer. With distribution global it is the mean over the layers, as
        the events decide how dense each is.

    Raises:
        ValueError: no working network has these densities; the message has the table of layers and what to change.
    """
    structure = config.spread
    if isinstance(structure, FanIn) and structure.count is not None:  # N:M, in every layer
        return [sum(structure.per_group(n_in, 1.0)) / n_in for _, n_in in shapes]
    if config.layer_sparsities is not None:
        return by_layer(shapes, config.layer_sparsities)
    if config.lambdas is not None:
        return erdos_renyi(shapes, config.lambdas)
    if config.sparsity is None:
        raise ValueError("the topology has neither a sparsity nor lambdas; give one of them (sparsity 0 is dense)")
    if config.distribution == "global":
        if (1 - config.sparsity) * sum(n_out * n_in for n_out, n_in in shapes) < len(shapes):
            raise ValueError(f"sparsity {config.sparsity} leaves fewer connections than layers; lower it")
        return [1 - config.sparsity] * len(shapes)
    if config.distribution == "uniform":
        return uniform(shapes, config.sparsity)
    if config.distribution == "connectivity":
        return with_connectivity(shapes, densities(config.at_start, shapes), config.sparsity)
    return erdos_renyi_for_sparsity(shapes, config.sparsity)


def layer_budgets(
    config: TopologyConfig,
    shapes: Shapes,
    connections: Sequence[int],
    update: int,
    drop_scores: Callable[[int], NDArray[np.floating[Any]]],
) -> list[int]:
    """Return how many connections each layer of one network is to have after an event.

    Args:
        config: of this network, from `TopologyConfig.of`.
        shapes: (n_out, n_in) of every layer, from the input to the output.
        connections: how many each layer has before the event.
        update: number of the gradient update, from 1.
        drop_scores: returns the drop scores of the connections of the layer with this number. Called for each layer in
            turn, and only with distribution global.

    Returns:
        One number per layer. They stay what they are if there is no `initial_sparsity`; else each layer follows
        `density_at`, with distribution global all of them together (Arnob et al. 2021), and keeps at least one
        connection.
    """
    if config.initial_sparsity is None:
        return list(connections)
    if config.distribution == "global":
        assert config.sparsity is not None  # `densities` has refused it at the start
        total = sum(map(math.prod, shapes))
        share = density_at(update, 1.0, 1 - config.sparsity, config.sparsity_start, config.sparsity_end)
        count = round(share * total)
        if count >= sum(connections):
            return list(connections)
        return shares_of_best([drop_scores(layer) for layer in range(len(shapes))], count)
    return budgets_from(densities(config.at_start, shapes), config, shapes, connections, update)


def budgets_from(
    initial: Sequence[float], config: TopologyConfig, shapes: Shapes, connections: Sequence[int], update: int
) -> list[int]:
    """Return what `layer_budgets` does for layers that began with these densities, unless the distribution is global.

    Args:
        initial: density of every layer at the start.
        config: see `layer_budgets`; it has an `initial_sparsity`.
        shapes: see there.
        connections: see there.
        update: see there.
    """
    connectivity = config.distribution == "connectivity" and config.sparsity is not None
    final = with_connectivity(shapes, initial, config.sparsity or 0.0) if connectivity else densities(config, shapes)
    start, end = config.sparsity_start, config.sparsity_end
    budgets = [  # without any connection a layer says nothing
        max(round(density_at(update, first, last, start, end) * math.prod(shape)), 1)
        for first, last, shape in zip(initial, final, shapes, strict=True)
    ]
    if config.distribution == "connectivity":  # a layer that gets nothing may have begun with more, by chance
        return [max(budget, count) for budget, count in zip(budgets, connections, strict=True)]
    return budgets


def shares_of_best(scores: Sequence[NDArray[np.floating[Any]]], count: int) -> list[int]:
    """Return how many of the best connections of a whole network each layer has (Lee et al. 2019, SNIP).

    Best are those of the highest scores.

    Args:
        scores: of the connections of each layer, in the order of their indices, float [connections].
        count: how many connections all layers together are to have, at least one for each of them.

    Returns:
        One number per layer, at least 1: where a layer has none among the best, its best one stays instead of the worst
        of the others. Of equal scores those further back count as higher.
    """
    ranked = np.concatenate([np.asarray(layer, dtype=np.float64) for layer in scores])
    ends = np.cumsum([len(layer) for layer in scores])
    best = [end - 1 - np.argmax(layer[::-1]) for layer, end in zip(scores, ends, strict=True)]
    others = np.delete(np.arange(len(ranked)), best)
    drop = np.zeros(len(ranked), dtype=np.bool_)
    drop[others[lowest(ranked[others], max(len(ranked) - count, 0))]] = True
    return [int(np.count_nonzero(~layer)) for layer in np.split(drop, ends[:-1])]
