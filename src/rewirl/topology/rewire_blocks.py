"""A rewiring event in a layer of blocks: what it drops and grows are whole blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.blocks import Blocks, Part, shares
from rewirl.topology.contract import checked_growth, rewired_count
from rewirl.topology.rule import Rule
from rewirl.topology.state import LayerState


def rewire_blocks(
    rule: Rule,
    state: LayerState,
    scores: NDArray[np.float64],
    fraction: float,
    after: int,
    rng: np.random.Generator,
    blocks: Blocks,
    *,
    regrow_dropped: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what an event drops and grows, in whole blocks.

    A block's score is the mean over its connections. The smaller blocks of a last group are ranked with the others, but
    one of them is only replaced by another one of them, so that as many connections grow as are dropped.

    Args:
        rule: see `rewire`; its `grow` is called for blocks, as `Rule` says.
        state: the layer, its connections in the order of their indices.
        scores: drop scores, float64 [connections].
        fraction: of the blocks to rewire.
        after: how many connections there are to be afterwards. Unless it is the number now, the nearest one that whole
            blocks have, but at least one block for at least one connection.
        rng: the random stream of the rule.
        blocks: the structure.
        regrow_dropped: see `rewire`.

    Returns:
        Positions of the dropped connections in the state's `indices`, and indices of the new ones, sorted; both int64.

    Raises:
        ValueError: the connections are not in whole blocks, or the rule broke its contract.
    """
    parts = _held(state, blocks)
    before = len(state.indices)
    means = np.concatenate([each.means(scores) for each in parts])
    part_of = np.repeat(np.arange(len(parts)), [len(each.numbers) for each in parts])
    magnitudes = np.concatenate([np.abs(state.weights)[each.positions].mean(axis=1) for each in parts])
    weakest_first = np.lexsort((np.where(np.isinf(means) & (after < before), magnitudes, 0), means))  # see `weakest`
    heights = np.array([each.part.height for each in parts])[part_of[weakest_first]]
    surplus = _nearest(heights, before - after) if after < before else 0
    surplus = min(surplus, len(means) - (after > 0))
    lacking = shares([each.part for each in parts], [each.free for each in parts], max(after - before, 0))
    stay, total = len(means) - surplus + sum(lacking), sum(each.part.total for each in parts)
    frozen = 0 if state.frozen is None else sum(int(state.frozen[each.positions[:, 0]].sum()) for each in parts)
    count = rewired_count(rule, means, fraction, stay, total, regrow_dropped, frozen, surplus)

    goes = np.zeros(len(means), dtype=np.bool_)
    goes[weakest_first[:surplus]] = True
    replaced = weakest_first[surplus : surplus + count]
    gradient = None if state.compute_gradient is None else cache(state.dense_gradient)
    dropped, grown = [], []
    for number, (each, more) in enumerate(zip(parts, lacking, strict=True)):
        of_part = replaced[part_of[replaced] == number]
        if not regrow_dropped:
            of_part = of_part[: each.free - more]  # what grows needs blocks that are free already
        goes[of_part] = True
        gone = goes[part_of == number]
        dropped.append(each.positions[gone].reshape(-1))
        if len(of_part) + more:
            occupied = each.numbers[~gone] if regrow_dropped else each.numbers
            grown.append(_grown(rule, each, state, occupied, len(of_part) + more, rng, gradient))
    return np.concatenate(dropped), np.sort(np.concatenate(grown)) if grown else np.empty(0, dtype=np.int64)


def scores_of_blocks(state: LayerState, scores: NDArray[np.float64], blocks: Blocks) -> NDArray[np.float64]:
    """Return for each connection the drop score of its block, float64 [connections].

    Args:
        state: see `rewire_blocks`.
        scores: see there.
        blocks: see there.

    Raises:
        ValueError: the connections are not in whole blocks.
    """
    result = np.empty_like(scores)
    for each in _held(state, blocks):
        result[each.positions] = each.means(scores)[:, np.newaxis]
    return result


@dataclass(frozen=True)
class _Held:
    """The blocks that a layer has of one part.

    Args:
        part: which has them.
        numbers: of the blocks, int64 [blocks], sorted.
        positions: of the connections of each block in the layer's `indices`, int64 [blocks, height].
    """

    part: Part
    numbers: NDArray[np.int64]
    positions: NDArray[np.int64]

    @property
    def free(self) -> int:
        """How many blocks more it can have."""
        return self.part.total - len(self.numbers)

    def means(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each block, float64 [blocks]: the mean, but +inf if a connection has to stay."""
        of_blocks = scores[self.positions]
        stays = (of_blocks == np.inf).any(axis=1)
        return np.where(stays, np.inf, np.where(of_blocks == np.inf, 0.0, of_blocks).mean(axis=1))


def _held(state: LayerState, blocks: Blocks) -> list[_Held]:
    """Return the blocks of each part; arguments as of `rewire_blocks`."""
    if not blocks.whole(state.shape, state.indices):
        raise ValueError(f"the connections of a layer of shape {state.shape} are not in blocks of {blocks.height}x1")
    parts = []
    for part in blocks.parts(state.shape):
        numbers = part.numbers(state.indices)
        parts.append(_Held(part, numbers, np.searchsorted(state.indices, part.indices(numbers))))
    return parts


def _nearest(heights: NDArray[np.int64], connections: int) -> int:
    """Return how many of the first blocks have together the number of connections nearest to this one.

    Args:
        heights: connections of each block, int64 [blocks].
        connections: how many there should be.
    """
    totals = np.concatenate([[0], np.cumsum(heights)])
    return int(np.argmin(np.abs(totals - connections)))


def _grown(
    rule: Rule,
    held: _Held,
    state: LayerState,
    occupied: NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
    gradient: Callable[[], NDArray[np.float32]] | None,
) -> NDArray[np.int64]:
    """Return the connections of the blocks that a rule grows in one part, int64 [count * height].

    Args:
        rule: see `rewire_blocks`.
        held: the blocks of the part before the event.
        state: the layer before the event.
        occupied: numbers of blocks where none may grow, int64, sorted.
        count: how many are to grow.
        rng: the random stream.
        gradient: returns that of the layer, float32 [n_out, n_in].
    """
    part = held.part
    weights = np.abs(state.weights)[held.positions].mean(axis=1)
    of_blocks = None if gradient is None else lambda: part.mean(np.abs(gradient()))
    seen = replace(state, compute_gradient=of_blocks, height=1, frozen=None)
    matrix = replace(seen, shape=part.shape, indices=held.numbers, weights=weights)
    numbers = checked_growth(rule, matrix, occupied, count, rng)
    return part.indices(numbers).reshape(-1)
