"""Rewiring: what a rule decides, and the one place that holds every rule to the number of connections."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl.plugins import RAISED, import_module
from rewirl.topology.ablation import fan_ins
from rewirl.topology.config import TopologyConfig
from rewirl.topology.places import lowest
from rewirl.topology.structure import Structure

RULES = {
    "static": "rewirl.topology.rules.static:Static",
    "set": "rewirl.topology.rules.set:SET",
    "rigl": "rewirl.topology.rules.rigl:RigL",
    "prune": "rewirl.topology.rules.prune:Prune",
}


@dataclass(frozen=True)
class LayerState:
    """One sparse layer at the moment of a rewiring event.

    Args:
        shape: (n_out, n_in).
        places: the connections, int64 [connections], row * n_in + column, distinct, in any order.
        weights: the weight of each, float32 [connections], in the same order.
        compute_gradient: returns the gradient of the loss for every place, connection or not, float32 [n_out, n_in];
            None where no rule asks for it.

    Raises:
        ValueError: places and weights are not two vectors of the same length.
    """

    shape: tuple[int, int]
    places: NDArray[np.int64]
    weights: NDArray[np.float32]
    compute_gradient: Callable[[], NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        """Refuse vectors that do not belong together."""
        if self.places.ndim != 1 or self.places.shape != self.weights.shape:
            raise ValueError(
                "places and weights of a layer must be vectors of one length, "
                f"got {self.places.shape} and {self.weights.shape}"
            )

    @property
    def total(self) -> int:
        """Number of places, existing or not: n_out * n_in."""
        return self.shape[0] * self.shape[1]

    def dense_gradient(self) -> NDArray[np.float32]:
        """Return the gradient of the loss for every place, connection or not, float32 [n_out, n_in], to be changed.

        It is that of the batch and the weights of the update that the event follows, before its step, and is computed
        at every call.

        Raises:
            ValueError: the rule does not say that it uses gradients.
        """
        if self.compute_gradient is None:
            raise ValueError("there is no gradient: a rule that asks for it must have uses_gradient = True")
        return self.compute_gradient()

    def gradient_of_places(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the gradient of the loss for some places, float32 [places]."""
        gradient: NDArray[np.float32] = self.dense_gradient().reshape(-1)[places]
        return gradient


@dataclass(frozen=True)
class Rewiring:
    """What an event changes in one layer; as many connections go as come, unless the sparsity changes.

    Args:
        dropped: connections that go, as indices into the places of the state, int64 [dropped], sorted.
        grown: places that come, int64 [grown], sorted. A place both dropped and grown is a new connection too.
    """

    dropped: NDArray[np.int64]
    grown: NDArray[np.int64]


class Rule(ABC):
    """A way to rewire: which connections go, and where new ones come.

    `rewire` calls both methods with the connections in the order of their places, and sees to it that as many come as
    are to.

    Args:
        config: the topology configuration of the run.
    """

    adapts: ClassVar[bool] = True
    """False for a rule that never changes anything; its events are skipped."""

    rewires: ClassVar[bool] = True
    """False for a rule that drops no connection to grow another, but only follows a changing sparsity."""

    uses_gradient: bool = False
    """Whether it asks a layer's state for the gradient."""

    def __init__(self, config: TopologyConfig) -> None:
        """Keep the configuration, from which a rule takes its options."""
        self.config = config

    @abstractmethod
    def drop_score(self, state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Score the connections; those of the lowest scores are dropped, of equal ones those of the lower places.

        Args:
            state: the layer, its places sorted.
            fraction: of the connections that this event is to rewire.
            rng: the stream to draw from, if at all.

        Returns:
            Scores, float64 [connections]. The fraction decides how many go, except that a connection of score -inf goes
            and one of +inf stays in any case.
        """

    @abstractmethod
    def grow(
        self, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose where new connections come.

        Args:
            state: the layer before the event, its places sorted.
            occupied: places not to be chosen, int64, sorted: all of the state's, or those that are left of them where a
                dropped connection may be grown again.
            count: how many to choose, at least 1; so many places are free.
            rng: the stream to draw from, if at all.

        Returns:
            Distinct free places, int64 [count], in any order.
        """

    def grow_score(self, state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
        """Score all places, where a structure says how many are to grow in each group: the highest free ones do.

        Args:
            state: the layer before the event, its places sorted.
            rng: the stream to draw from, if at all.

        Returns:
            Scores, float [n_out, n_in] or [n_out * n_in].

        Raises:
            ValueError: the rule has no such scores.
        """
        kind = type(self)
        raise ValueError(
            f"the rule {kind.__module__}:{kind.__qualname__} has no grow_score, by which connections of a structure "
            "grow; write one, or use structure unstructured"
        )


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


def rule(name: str, config: TopologyConfig) -> Rule:
    """Make the rule of this name.

    Args:
        name: one of RULES, or "package.module:Class", a `Rule` of the user's own that Python can import, from the
            working directory too.
        config: the topology configuration of the run, handed to the rule.

    Returns:
        The rule.

    Raises:
        ValueError: there is no such rule; the message says what is near or what is wrong with it.
    """
    module_name, colon, class_name = RULES.get(name, name).partition(":")
    if not (module_name and colon and class_name):
        near = get_close_matches(name.lower(), RULES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no rule {name!r}; {hint}There are {', '.join(RULES)}, and package.module:Class for your own")
    try:
        module = import_module(module_name)
    except (ImportError, TypeError) as error:  # TypeError: a relative name such as .mine
        raise ValueError(f"the rule {name!r}: cannot import {module_name!r}: {error}") from error
    except RAISED as error:
        raise ValueError(
            f"the rule {name!r}: importing {module_name} raised {type(error).__name__}: {error}"
        ) from error
    found: Any = getattr(module, class_name, None)
    if found is None:
        near = get_close_matches(class_name, dir(module), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"the rule {name!r}: {module_name} has no {class_name!r}{hint}")
    if not (inspect.isclass(found) and issubclass(found, Rule)):
        raise ValueError(f"the rule {name!r}: {class_name} is not a subclass of rewirl.topology.Rule")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise ValueError(f"the rule {name!r}: {class_name} has yet to define {missing}")
    return found(config)


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
