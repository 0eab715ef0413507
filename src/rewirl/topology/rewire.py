"""One event in one layer: the one place that holds every rule to the number of connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.ablation import fan_ins
from rewirl.topology.places import lowest
from rewirl.topology.rule import Rule
from rewirl.topology.state import LayerState
from rewirl.topology.structure import Structure


@dataclass(frozen=True)
class Rewiring:
    """What an event changes in one layer; as many connections go as come, unless the sparsity changes.

    Args:
        dropped: connections that go, as indices into the places of the state, int64 [dropped], sorted.
        grown: places that come, int64 [grown], sorted. A place both dropped and grown is a new connection too.
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
    """Carry out one event in one layer (Sokar et al. 2022, Algorithm 3), without changing the state.

    floor(fraction * connections) are dropped, unless scores of -inf or +inf say more or less, and never more than there
    are places for new ones. Where there are to be fewer connections afterwards, so many more are dropped, those of the
    lowest scores; where there are to be more, so many more are grown.

    Args:
        rule: decides what is dropped and grown.
        state: the layer.
        fraction: of its connections to rewire, in [0, 1].
        rng: the stream the rule draws from.
        regrow_dropped: whether a place emptied in this event may be grown in it; otherwise growth is elsewhere.
        connections: how many there are to be afterwards, at most as many as places; None is as many as there are.
        structure: how they are spread, and stay so: what a group loses grows in the same group. None for no such thing.
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
    if ablate_below and (structure is None or structure.group is not None):
        raise ValueError("ablation moves connections from unit to unit, which only constant fan-in allows")
    wanted = len(state.places) if connections is None else connections
    if not 0 <= wanted <= state.total:
        raise ValueError(f"a layer of shape {state.shape} cannot have {wanted} connections")
    if not rule.adapts or (not len(state.places) and not wanted):
        return Rewiring(np.empty(0, np.int64), np.empty(0, np.int64))

    order, ordered = _in_order(state)
    scores = _checked_scores(rule, rule.drop_score(ordered, fraction, rng), ordered)
    must, may = int(np.count_nonzero(scores == -np.inf)), int(np.count_nonzero(scores < np.inf))
    rewired = min(max(int(fraction * len(scores)), must), may, wanted) if rule.rewires else 0
    if not regrow_dropped:  # what is grown needs places that are empty already
        rewired = min(rewired, state.total - max(len(scores), wanted))
    count = rewired + max(len(scores) - wanted, 0)
    if structure is not None:
        return _structured(rule, ordered, order, scores, count, rng, regrow_dropped, structure, ablate_below)
    dropped = _lowest(scores, count)
    growth = wanted - (len(scores) - count)
    if growth == 0:
        return Rewiring(np.sort(order[dropped]), np.empty(0, np.int64))
    occupied = np.delete(ordered.places, dropped) if regrow_dropped else ordered.places
    grown = _checked_growth(rule, rule.grow(ordered, occupied, growth, rng), ordered, occupied, growth)
    return Rewiring(np.sort(order[dropped]), grown)


def drop_scores(rule: Rule, state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a rule's scores of the connections of a layer, in the order of their places, checked.

    Args:
        rule: see `rewire`.
        state: see `rewire`.
        fraction: see `rewire`.
        rng: see `rewire`.

    Raises:
        ValueError: the state is impossible, or the rule returned what is no score of each connection.
    """
    _, ordered = _in_order(state)
    return _checked_scores(rule, rule.drop_score(ordered, fraction, rng), ordered)


def _structured(
    rule: Rule,
    state: LayerState,
    order: NDArray[np.int64],
    scores: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
    regrow_dropped: bool,
    structure: Structure,
    ablate_below: float,
) -> Rewiring:
    """Grow as many connections in each group as it loses, and let no group lose more than it has room to grow.

    With ablation, units have other numbers of inputs afterwards: they lose what is too much, and grow what is missing.
    """
    grow_scores = np.asarray(rule.grow_score(state, rng), dtype=np.float64).reshape(-1)
    if grow_scores.shape != (state.total,) or np.isnan(grow_scores).any():
        _blame(rule, f"grow_score must return a number for each of {state.total} places, got {grow_scores.shape}")
    wanted = before = structure.counts(state.shape, state.places)
    dropped = _lowest(scores, count)
    if ablate_below:
        wanted = fan_ins(state, dropped, grow_scores, ablate_below)[:, np.newaxis]
        scores = np.where(wanted[state.places // state.shape[1], 0] == 0, -np.inf, scores)
        dropped = _lowest(scores, max(count, int(np.count_nonzero(scores == -np.inf))))
        surplus = np.maximum(before - structure.counts(state.shape, state.places[dropped]) - wanted, 0)
        weakest_first = np.argsort(scores, kind="stable")
        left = weakest_first[~np.isin(weakest_first, dropped)]
        rank = np.full(state.total, np.inf)  # a rank, because scores may be infinite
        rank[state.places[left]] = np.arange(len(left))
        more = structure.choose(rank.reshape(state.shape), surplus)
        dropped = np.concatenate([dropped, np.searchsorted(state.places, more)])
    taken = np.zeros(state.total, dtype=np.bool_)
    taken[state.places] = True
    if not regrow_dropped:
        inputs = np.array([group.stop - group.start for group in structure.groups(state.shape[1])])
        growth = wanted - before + structure.counts(state.shape, state.places[dropped])
        too_many = np.maximum(growth - (inputs - before), 0)
        best_first = dropped[np.argsort(-scores[dropped], kind="stable")]
        rank = np.full(state.total, np.inf)
        rank[state.places[best_first]] = np.arange(len(dropped))
        stay = structure.choose(rank.reshape(state.shape), too_many)
        dropped = dropped[~np.isin(state.places[dropped], stay)]
    else:
        taken[state.places[dropped]] = False
    growth = wanted - before + structure.counts(state.shape, state.places[dropped])
    candidates = np.where(taken, np.inf, -grow_scores).reshape(state.shape)
    return Rewiring(np.sort(order[dropped]), structure.choose(candidates, growth))


def _lowest(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    return lowest(scores, count) if count else np.empty(0, np.int64)


def _in_order(state: LayerState) -> tuple[NDArray[np.int64], LayerState]:
    order = np.argsort(state.places)
    ordered = LayerState(state.shape, state.places[order], state.weights[order], state.compute_gradient)
    _check_state(ordered)
    return order, ordered


def _check_state(state: LayerState) -> None:
    places = state.places
    if not len(places):
        return
    if places[0] < 0 or places[-1] >= state.total or (np.diff(places) == 0).any():
        raise ValueError(f"the places of a layer of shape {state.shape} must be distinct and in [0, {state.total})")
    if not np.isfinite(state.weights).all():
        raise FloatingPointError(f"a layer of shape {state.shape} has weights that are not finite")


def _checked_scores(rule: Rule, returned: Any, state: LayerState) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = np.asarray(returned, dtype=np.float64)
    if scores.shape != state.places.shape:
        _blame(rule, f"drop_score must return one score per connection, {state.places.shape}, got {scores.shape}")
    if np.isnan(scores).any():
        _blame(rule, "drop_score returned a score that is NaN")
    return scores


def _checked_growth(
    rule: Rule, returned: Any, state: LayerState, occupied: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    returned = np.asarray(returned)
    if returned.dtype.kind not in "iu" or returned.shape != (count,):
        _blame(rule, f"grow must return {count} places as integers, got {returned.dtype} of shape {returned.shape}")
    grown: NDArray[np.int64] = np.sort(returned.astype(np.int64))
    if grown[0] < 0 or grown[-1] >= state.total:
        _blame(rule, f"grow must return places in [0, {state.total}), got {grown[0]} to {grown[-1]}")
    if (np.diff(grown) == 0).any():
        _blame(rule, "grow returned a place twice")
    if (np.searchsorted(occupied, grown, side="left") != np.searchsorted(occupied, grown, side="right")).any():
        _blame(rule, "grow returned a place that is occupied")
    return grown


def _blame(rule: Rule, fault: str) -> None:
    kind = type(rule)
    raise ValueError(f"the rule {kind.__module__}:{kind.__qualname__} broke its contract: {fault}")
