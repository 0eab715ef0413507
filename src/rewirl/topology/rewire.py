"""One rewiring event in one layer: the one place that holds every rule to the number of connections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.blocks import Blocks
from rewirl.topology.contract import (
    checked_drop_scores,
    checked_grow_scores,
    checked_growth,
    handed,
    in_order,
    rewired_count,
    weakest,
)
from rewirl.topology.fan_in import FanIn
from rewirl.topology.indices import lowest
from rewirl.topology.rewire_blocks import rewire_blocks, scores_of_blocks
from rewirl.topology.rewire_fan_in import rewire_fan_in
from rewirl.topology.rule import Rule
from rewirl.topology.state import LayerState
from rewirl.topology.structure import Structure


@dataclass(frozen=True)
class Rewiring:
    """What an event changes in one layer; it drops as many connections as it grows, unless the sparsity changes.

    Args:
        dropped: positions of the dropped connections in the state's `indices`, int64 [dropped], sorted.
        grown: indices of the new connections in the weight matrix, int64 [grown], sorted. An index both dropped and
            grown is a new connection too.
    """

    dropped: NDArray[np.int64]
    grown: NDArray[np.int64]


def rewire(
    rule: Rule,
    state: LayerState,
    fraction: float,
    rng: np.random.Generator,
    regrow_dropped: bool = False,
    connections: int | None = None,
    structure: Structure | None = None,
    ablate_below: float = 0.0,
) -> Rewiring:
    """Drop and grow connections of one layer (Sokar et al. 2022, topological adaptation); the state stays as it is.

    floor(fraction * connections) are dropped, unless scores of -inf or +inf say more or less, and never more than there
    are free indices to grow at. Where the layer is to have fewer connections afterwards, the difference is dropped too,
    those of the lowest scores, and of +inf where there are no others; where it is to have more, the difference is
    grown.

    Args:
        rule: decides what is dropped and grown.
        state: the layer, its connections in any order.
        fraction: of its connections to rewire, in [0, 1].
        rng: the random stream of the rule.
        regrow_dropped: whether a connection dropped in this event may be grown again in it.
        connections: how many there are to be afterwards, at most n_out * n_in; None is as many as before. In blocks,
            another number than before is rounded to whole ones.
        structure: how they are arranged, before and after. Of fan-in: a group of inputs grows what it loses. Of blocks:
            whole ones are dropped and grown, and the fraction is of them. None for unstructured.
        ablate_below: share of a unit's fan-in, in [0, 1]; units with fewer salient connections lose all of theirs to
            the others. 0 ablates none; more needs constant fan-in.

    Returns:
        What to change.

    Raises:
        ValueError: the fraction or the state is impossible, or the rule returned what would break the topology.
        FloatingPointError: weights are not finite.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"the fraction of connections to rewire must be between 0 and 1, got {fraction}")
    if ablate_below and not (isinstance(structure, FanIn) and structure.group is None):
        raise ValueError("ablation moves connections from unit to unit, which only constant fan-in allows")
    before = len(state.indices)
    after = before if connections is None else connections
    if not 0 <= after <= state.total:
        raise ValueError(f"a layer of shape {state.shape} cannot have {after} connections")
    if not rule.adapts or (not before and not after):
        return Rewiring(np.empty(0, np.int64), np.empty(0, np.int64))

    blocks = _blocks(structure, state.shape)
    order, ordered = in_order(state, blocks.height if blocks else 1)
    scores = checked_drop_scores(rule, rule.drop_score(handed(ordered), fraction, rng), ordered)
    if blocks:
        dropped, grown = rewire_blocks(
            rule, ordered, scores, fraction, after, rng, blocks, regrow_dropped=regrow_dropped
        )
        return Rewiring(np.sort(order[dropped]), grown)
    frozen = 0 if state.frozen is None else int(np.count_nonzero(state.frozen))
    surplus = max(before - after, 0)
    count = surplus + rewired_count(rule, scores, fraction, after, state.total, regrow_dropped, frozen, surplus)
    if isinstance(structure, FanIn):
        grow_scores = checked_grow_scores(rule, rule.grow_score(handed(ordered), rng), ordered)
        dropped, grown = rewire_fan_in(
            ordered, scores, count, grow_scores, structure, regrow_dropped=regrow_dropped, ablate_below=ablate_below
        )
        return Rewiring(np.sort(order[dropped]), grown)
    dropped = weakest(scores, ordered.weights, count) if surplus else lowest(scores, count)
    growth = after - (before - count)
    if growth == 0:
        return Rewiring(np.sort(order[dropped]), np.empty(0, np.int64))
    occupied = np.delete(ordered.indices, dropped) if regrow_dropped else ordered.indices
    return Rewiring(np.sort(order[dropped]), checked_growth(rule, ordered, occupied, growth, rng))


def drop_scores(
    rule: Rule, state: LayerState, fraction: float, rng: np.random.Generator, structure: Structure | None = None
) -> NDArray[np.float64]:
    """Return a rule's scores of the connections of a layer, in the order of their indices, float64 [connections].

    In a layer of blocks a connection has the score of its block.

    Args:
        rule: see `rewire`.
        state: see `rewire`.
        fraction: see `rewire`.
        rng: see `rewire`.
        structure: see `rewire`.

    Raises:
        ValueError: the state is impossible, or the rule returned what is no score of each connection.
    """
    blocks = _blocks(structure, state.shape)
    _, ordered = in_order(state, blocks.height if blocks else 1)
    scores = checked_drop_scores(rule, rule.drop_score(handed(ordered), fraction, rng), ordered)
    return scores_of_blocks(ordered, scores, blocks) if blocks else scores


def _blocks(structure: Structure | None, shape: tuple[int, int]) -> Blocks | None:
    """Return the blocks of a layer of this shape; None where it has none."""
    return structure if isinstance(structure, Blocks) and structure.height_in(shape) > 1 else None
