"""How much the networks of an agent make of each feature of the observation, and of each action."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.agent import Agent
from rewirl.nn import importance

MOST_SAMPLES = 512


def input_importance(agent: Agent, transitions: NDArray[np.float32] | None) -> dict[str, dict[str, list[Any] | None]]:
    """Return the connections, the strength and the attribution of each input of the networks that learn.

    The attribution is over at most 512 transitions, evenly spaced, normalised as networks see them. The outputs are
    those of the policy that make an action, and all of other networks.

    Args:
        agent: any agent.
        transitions: of its replay memory, states and actions in the first columns, float32 [transitions, columns];
            None, or of length 0, if there are none.

    Returns:
        By network `connections`, `strength` and `attribution`, a number for each input as JSON values, observations
        before actions; no attribution without transitions, or where inputs are something else.
    """
    sizes = agent.observation_size, agent.observation_size + agent.action_size
    rows = np.empty((0, sizes[1]), np.float32) if transitions is None else transitions
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_SAMPLES)).astype(np.int64), : sizes[1]]
    seen = np.array(chosen, np.float32)
    statistics = agent.normalisation.observations
    if statistics is not None and len(seen):
        seen[:, : sizes[0]] = statistics.normalised(seen[:, : sizes[0]])
    result: dict[str, dict[str, list[Any] | None]] = {}
    for name, network in agent.networks().items():
        if name.startswith("target_"):
            continue
        attribution = None
        if len(seen) and network.n_in in sizes:
            outputs = agent.action_size if name == "actor" else None
            attribution = _rounded(importance.attribution(network, seen[:, : network.n_in], outputs))
        result[name] = {
            "connections": importance.connections(network).tolist(),
            "strength": _rounded(importance.strength(network)),
            "attribution": attribution,
        }
    return result


def _rounded(values: NDArray[np.float64]) -> list[float]:
    """Return numbers to six digits, which is more than such a score means."""
    return [float(f"{value:.6g}") for value in values]
