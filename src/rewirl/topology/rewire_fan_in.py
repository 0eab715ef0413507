"""A rewiring event in a layer of constant fan-in or N:M: each group of inputs grows what it loses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.ablation import fan_ins
from rewirl.topology.fan_in import FanIn
from rewirl.topology.indices import lowest
from rewirl.topology.state import LayerState


def rewire_fan_in(
    state: LayerState,
    scores: NDArray[np.float64],
    count: int,
    grow_scores: NDArray[np.float64],
    structure: FanIn,
    *,
    regrow_dropped: bool,
    ablate_below: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what an event drops and grows, so that the structure stays.

    A group drops no more than it has room to grow. With ablation, units have other numbers of inputs afterwards: they
    drop what is too much, and grow what is missing.

    Args:
        state: the layer, its connections in the order of their indices.
        scores: drop scores, float64 [connections]; the lowest are dropped.
        count: how many are to be dropped.
        grow_scores: float64 [n_out * n_in]; of the free weights of a group those of the highest scores grow.
        structure: of the layer.
        regrow_dropped: see `rewire`.
        ablate_below: see `rewire`.

    Returns:
        Positions of the dropped connections in the state's `indices`, and indices of the new ones, sorted; both int64.
    """
    before = after = structure.counts(state.shape, state.indices)
    dropped = lowest(scores, count)
    if ablate_below:
        after = fan_ins(state, dropped, grow_scores, ablate_below)[:, np.newaxis]
        scores = np.where(after[state.indices // state.shape[1], 0] == 0, -np.inf, scores)
        dropped = lowest(scores, max(count, int(np.count_nonzero(scores == -np.inf))))
        dropped = np.concatenate([dropped, _surplus(state, scores, dropped, structure, after)])
    if not regrow_dropped:
        dropped = _with_room(state, scores, dropped, structure, after)
    growth = after - before + structure.counts(state.shape, state.indices[dropped])
    occupied = np.zeros(state.total, dtype=np.bool_)
    occupied[state.indices] = True
    if regrow_dropped:
        occupied[state.indices[dropped]] = False
    candidates = np.minimum(-grow_scores, np.finfo(np.float64).max)  # free ones of -inf are before occupied ones
    candidates[occupied] = np.inf
    return dropped, structure.select(candidates.reshape(state.shape), growth)


def _surplus(
    state: LayerState,
    scores: NDArray[np.float64],
    dropped: NDArray[np.int64],
    structure: FanIn,
    after: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the positions of what groups are to drop besides, to have no more connections than `after`."""
    stay = structure.counts(state.shape, np.delete(state.indices, dropped))
    weakest_first = np.argsort(scores, kind="stable")
    weakest_first = weakest_first[~np.isin(weakest_first, dropped)]
    surplus = _first_of_groups(state, weakest_first, structure, np.maximum(stay - after, 0))
    return np.searchsorted(state.indices, surplus)


def _with_room(
    state: LayerState,
    scores: NDArray[np.float64],
    dropped: NDArray[np.int64],
    structure: FanIn,
    after: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return `dropped` without the connections, best first, that their group has no free index to grow in place of."""
    inputs = np.array([group.stop - group.start for group in structure.groups(state.shape[1])])
    before = structure.counts(state.shape, state.indices)
    growth = after - before + structure.counts(state.shape, state.indices[dropped])
    best_first = dropped[np.argsort(-scores[dropped], kind="stable")]
    stay = _first_of_groups(state, best_first, structure, np.maximum(growth - (inputs - before), 0))
    return dropped[~np.isin(state.indices[dropped], stay)]


def _first_of_groups(
    state: LayerState, positions: NDArray[np.int64], structure: FanIn, counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return in each group the indices of the first connections among `positions`, int64, sorted.

    Args:
        state: the layer.
        positions: of connections, in the order in which they are taken.
        structure: says what a group is.
        counts: how many to take in each group, int64 [n_out, groups].
    """
    rank = np.full(state.total, np.inf)  # a rank, because scores may be infinite
    rank[state.indices[positions]] = np.arange(len(positions))
    return structure.select(rank.reshape(state.shape), counts)
