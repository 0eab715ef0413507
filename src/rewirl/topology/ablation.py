"""Ablation: units that no criterion finds worth their inputs lose them all to the others (SRigL, Lasby et al. 2024)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.places import lowest
from rewirl.topology.state import LayerState


def fan_ins(
    state: LayerState, dropped: NDArray[np.int64], grow_scores: NDArray[np.floating[Any]], share: float
) -> NDArray[np.int64]:
    """Return how many inputs each unit is to have after an event that may ablate units (Lasby et al. 2024, section 3).

    Salient are the connections that the event would keep, and as many places of the highest scores to grow by as it
    would drop, connections or not. A unit with fewer of them than max(1, floor(share * fan-in)) is ablated: it is to
    have no input. The fan-in is that of a layer without ablated units. An ablated unit is judged again at every event,
    and comes back when enough places of its own are salient. The most salient units stay in any case, as many as it
    takes to hold all connections.

    Args:
        state: the layer, its places sorted.
        dropped: connections that the event would drop, as indices into its places.
        grow_scores: of every place, float [n_out * n_in], the highest grow.
        share: of the fan-in, in (0, 1].

    Returns:
        int64 [n_out], as many in all as there are connections. What each unit has, if the same units stay; else equal
        numbers for all that stay, and one more for the most salient of them where that leaves a remainder.
    """
    n_out, n_in = state.shape
    budget = len(state.places)
    salient = np.zeros(state.total, dtype=np.bool_)
    salient[np.delete(state.places, dropped)] = True
    if len(dropped):
        salient[lowest(-grow_scores, len(dropped))] = True
    count = salient.reshape(state.shape).sum(axis=1)
    most_first = np.argsort(-count, kind="stable")
    stays = count >= max(1, int(share * (budget // n_out)))
    stays[most_first[: -(-budget // n_in)]] = True
    has: NDArray[np.int64] = np.bincount(state.places // n_in, minlength=n_out).astype(np.int64, copy=False)
    if np.array_equal(stays, has > 0):
        return has
    each, left = divmod(budget, int(stays.sum()))
    wanted = np.where(stays, each, 0).astype(np.int64)
    wanted[most_first[stays[most_first]][:left]] += 1
    return wanted
