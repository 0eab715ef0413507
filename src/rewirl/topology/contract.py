"""What a rule must be given and must return; a fault names the rule and what it did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rewirl.plugins import RAISED
from rewirl.topology.indices import lowest
from rewirl.topology.rule import Rule
from rewirl.topology.state import LayerState


class ContractError(ValueError):
    """A rule or an agent of the user's own returned what it must not."""


class UnsaveableError(ContractError):
    """What a rule or an agent of the user's own keeps cannot be saved, however often one tries."""


def in_order(state: LayerState, height: int) -> tuple[NDArray[np.int64], LayerState]:
    """Return a layer with its connections in the order of their indices, checked.

    Args:
        state: the layer, its connections in any order.
        height: of its blocks.

    Returns:
        The position of each connection in `state`, int64 [connections], and the sorted layer.

    Raises:
        ValueError: indices are out of range, or one is there twice.
        FloatingPointError: weights are not finite: training has diverged.
    """
    order = np.argsort(state.indices)
    frozen = None if state.frozen is None else state.frozen[order]
    ordered = replace(state, indices=state.indices[order], weights=state.weights[order], height=height, frozen=frozen)
    indices = ordered.indices
    if len(indices):
        if indices[0] < 0 or indices[-1] >= state.total or (np.diff(indices) == 0).any():
            raise ValueError(
                f"the indices of a layer of shape {state.shape} must be distinct and in [0, {state.total})"
            )
        if not np.isfinite(ordered.weights).all():
            raise FloatingPointError(f"a layer of shape {state.shape} has weights that are not finite")
    return order, ordered


def handed(state: LayerState) -> LayerState:
    """Return a layer whose indices are a rule's own: what it writes into them, such as rows //= n_in, changes no event.

    Args:
        state: the layer.
    """
    frozen = None if state.frozen is None else state.frozen.copy()
    return replace(state, indices=state.indices.copy(), frozen=frozen)


def checked_drop_scores(rule: Rule, returned: Any, state: LayerState) -> NDArray[np.float64]:
    """Return what `Rule.drop_score` returned, as float64 [connections]; +inf for what is frozen.

    Raises:
        ValueError: it is not a number for each connection.
    """
    scores = _numbers(rule, "drop_score", returned)
    if scores.shape != state.indices.shape:
        _fail(rule, f"drop_score must return one score per connection, {state.indices.shape}, got {scores.shape}")
    if np.isnan(scores).any():
        _fail(rule, "drop_score returned a score that is NaN")
    return scores if state.frozen is None else np.where(state.frozen, np.inf, scores)


def checked_grow_scores(rule: Rule, returned: Any, state: LayerState) -> NDArray[np.float64]:
    """Return what `Rule.grow_score` returned, as float64 [n_out * n_in].

    Raises:
        ValueError: it is not a number for each weight of the matrix.
    """
    scores = _numbers(rule, "grow_score", returned).reshape(-1)
    if scores.shape != (state.total,) or np.isnan(scores).any():
        _fail(rule, f"grow_score must return a number for each of {state.total} weights, got {scores.shape}")
    return scores


def checked_growth(
    rule: Rule, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return what `Rule.grow` returns, sorted, int64 [count].

    Args:
        rule: is called.
        state: the layer.
        occupied: indices where no connection may grow, int64, sorted.
        count: how many are to grow.
        rng: the random stream of the rule.

    Raises:
        ValueError: it is not that many distinct free indices.
    """
    given = handed(state)
    taken = given.indices if occupied is state.indices else occupied.copy()  # no more memory than for one of them
    returned = _array(rule, "grow", rule.grow(given, taken, count, rng))
    if returned.dtype.kind not in "iu" or returned.shape != (count,):
        _fail(rule, f"grow must return {count} indices as integers, got {returned.dtype} of shape {returned.shape}")
    grown: NDArray[np.int64] = np.sort(returned.astype(np.int64))
    if grown[0] < 0 or grown[-1] >= state.total:
        _fail(rule, f"grow must return indices in [0, {state.total}), got {grown[0]} to {grown[-1]}")
    if (np.diff(grown) == 0).any():
        _fail(rule, "grow returned an index twice")
    if (np.searchsorted(occupied, grown, side="left") != np.searchsorted(occupied, grown, side="right")).any():
        _fail(rule, "grow returned an index that is occupied")
    return grown


def rewired_count(
    rule: Rule,
    scores: NDArray[np.float64],
    fraction: float,
    after: int,
    total: int,
    regrow_dropped: bool,
    frozen: int = 0,
    surplus: int = 0,
) -> int:
    """Return how many connections, or blocks, an event drops to grow others instead.

    Args:
        rule: may rewire none.
        scores: drop scores, float64 [connections]; those of -inf are dropped and those of +inf stay in any case.
        fraction: to rewire, in [0, 1].
        after: how many there are to be after the event.
        total: how many there can be.
        regrow_dropped: whether what is dropped may be grown again.
        frozen: how many of them the fraction is not of.
        surplus: how many are dropped besides, as the sparsity rises.
    """
    if not rule.rewires:
        return 0
    at_least, at_most = int(np.count_nonzero(scores == -np.inf)), int(np.count_nonzero(scores < np.inf))
    count = min(max(int(fraction * (len(scores) - frozen)), at_least), max(at_most - surplus, 0), after)
    if regrow_dropped:
        return count
    return min(count, total - max(len(scores), after))  # what grows needs indices that are free already


def weakest(scores: NDArray[np.float64], weights: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the positions of the `count` lowest scores, in any order; of equal ones the first.

    Of equal infinite ones those of the smallest magnitude: such scores rank nothing, and the first are those of the
    first units, which would lose all their inputs as the sparsity rises.

    Args:
        scores: drop scores, float64 [connections].
        weights: of the connections, float32 [connections].
        count: from 0 to the number of connections.

    Returns:
        int64 [count].
    """
    chosen = lowest(scores, count)
    if not count or np.isfinite(limit := scores[chosen].max()):
        return chosen
    below, equal = np.flatnonzero(scores < limit), np.flatnonzero(scores == limit)
    return np.concatenate([below, equal[lowest(np.abs(weights[equal]), count - len(below))]])


def _array(rule: Rule, method: str, returned: Any) -> NDArray[Any]:
    """Return what a method of a rule returned as an array.

    Raises:
        ValueError: it is none, as a list of lists of different lengths.
    """
    try:
        return np.asarray(returned)
    except RAISED as error:
        _fail(rule, f"{method} returned what is no array: {error}")


def _numbers(rule: Rule, method: str, returned: Any) -> NDArray[np.float64]:
    """Return what a method of a rule returned as float64; None is a NaN.

    Raises:
        ValueError: it is not of real numbers.
    """
    array = _array(rule, method, returned)
    if array.dtype.kind == "c":  # NumPy would take the real parts
        _fail(rule, f"{method} must return real numbers, got {array.dtype}")
    try:
        return array.astype(np.float64, copy=False)
    except RAISED as error:
        _fail(rule, f"{method} must return real numbers, got {array.dtype}: {error}")


def _fail(rule: Rule, fault: str) -> NoReturn:
    kind = type(rule)
    raise ContractError(f"the rule {kind.__module__}:{kind.__qualname__} broke its contract: {fault}")
