"""Ablation: units whose inputs are not worth keeping lose them all to the others (SRigL, Lasby et al. 2024)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.indices import lowest
from rewirl.topology.state import LayerState


def fan_ins(
    state: LayerState, dropped: NDArray[np.int64], grow_scores: NDArray[np.floating[Any]], share: float
) -> NDArray[np.int64]:
    """Return the number of inputs of each unit after an event that may ablate units (Lasby et al. 2024, section 3).

    Salient are the connections that the event would keep, and the weights with the highest grow scores, as many as it
    would drop, connections or not. A unit with fewer than max(1, floor(share * fan-in)) of them is ablated: it is to
    have no input. The fan-in is that of a layer without ablated units. Every event judges an ablated unit again; it
    comes back when enough of its weights are salient. The most salient units are never ablated, as many as are needed
    to hold all connections.

    Args:
        state: the layer, its connections in the order of their indices.
        dropped: positions of the connections that the event would drop.
        grow_scores: of every weight of the matrix, float [n_out * n_in]; the highest grow.
        share: of the fan-in, in (0, 1].

    Returns:
        int64 [n_out]; the sum is the number of connections. If the units that have inputs stay the same, what each has
        now. Else equal numbers for all that stay, and one more for the most salient where a remainder is left.
    """
    n_out, n_in = state.shape
    connections = len(state.indices)
    salient = np.zeros(state.total, dtype=np.bool_)
    salient[np.delete(state.indices, dropped)] = True
    salient[lowest(-grow_scores, len(dropped))] = True
    count = salient.reshape(state.shape).sum(axis=1)
    most_first = np.argsort(-count, kind="stable")
    stays = count >= max(1, int(share * (connections // n_out)))
    stays[most_first[: -(-connections // n_in)]] = True
    fan_in: NDArray[np.int64] = np.bincount(state.indices // n_in, minlength=n_out).astype(np.int64, copy=False)
    if np.array_equal(stays, fan_in > 0):
        return fan_in
    each, remainder = divmod(connections, int(stays.sum()))
    after = np.where(stays, each, 0).astype(np.int64)
    after[most_first[stays[most_first]][:remainder]] += 1
    return after
