"""How far the topology of networks has drifted from the one they began with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.agent import Agent
from rewirl.agents.importance import input_importance
from rewirl.agents.learner import Learner
from rewirl.nn import Network
from rewirl.nn.importance import connections as of_inputs
from rewirl.nn.operations import ends
from rewirl.replay import Replay

MOST_INPUTS = 10_000
"""Inputs of a network of which the log says something each: beyond, a line may be longer than what is read of one."""


def online(networks: Mapping[str, Network]) -> dict[str, Network]:
    """Return those of an agent's networks that learn; targets only follow.

    Args:
        networks: by name, as the agent has them.
    """
    return {name: network for name, network in networks.items() if not name.startswith("target_")}


class Drift:
    """Remembers the topology that networks begin with, and measures later ones against it.

    It takes one bit per place of a sparse layer, and well below a millisecond for networks of the paper's size. What it
    remembers follows from settings and seed, so a resumed run knows it without having stored it.

    Args:
        networks: an agent's networks by name, new; targets are left out.
    """

    def __init__(self, networks: Mapping[str, Network]) -> None:
        """Remember the topology of networks that have just been built."""
        self._initial = {
            name: [None if layer.dense else _bits(layer.places(), math.prod(layer.shape)) for layer in network.layers]
            for name, network in online(networks).items()
        }

    def measure(self, networks: Mapping[str, Network]) -> dict[str, dict[str, Any]]:
        """Return what the topology is now.

        Args:
            networks: the same networks by name, as they are now.

        Returns:
            Per network, as JSON values: `shapes` [layers, 2] (outputs, inputs); `connections` [layers]; `initial_alive`
            [layers], the share of the connections that a layer began with that exist now, None for a dense layer, where
            all do; `input_connections` [inputs], the connections of every input in the layers that read them,
            None if these began dense, where an input has one to every unit until they are pruned, or if there are
            more than `MOST_INPUTS`. Of a network that is no multilayer perceptron also `operations`, see
            `Network.made_of`.
        """
        return {name: self._measure(network, self._initial[name]) for name, network in online(networks).items()}

    def _measure(self, network: Network, initial: list[NDArray[np.uint8] | None]) -> dict[str, Any]:
        alive: list[float | None] = []
        for layer, before in zip(network.layers, initial, strict=True):
            if before is None:
                alive.append(None if layer.dense else layer.connections / math.prod(layer.shape))
                continue
            places = layer.places()
            kept = np.count_nonzero(before[places >> 3] >> (places & 7) & 1)
            alive.append(kept / max(int(np.bitwise_count(before).sum()), 1))
        reads_inputs = [first for first, _ in ends(network.operations).values()]
        sparse = any(first and before is not None for first, before in zip(reads_inputs, initial, strict=True))
        return {
            "shapes": [list(layer.shape) for layer in network.layers],
            "connections": [layer.connections for layer in network.layers],
            "initial_alive": alive,
            "input_connections": of_inputs(network).tolist() if sparse and network.n_in <= MOST_INPUTS else None,
            **({"operations": network.made_of} if network.made_of else {}),
        }


def inputs_at_end(agent: Agent, replay: Replay | None, ended: bool) -> dict[str, Any]:
    """Return what the log says at the end of a run of the inputs of its networks; nothing before.

    Args:
        agent: any agent.
        replay: its replay memory, over which attributions are; None if it has none.
        ended: whether the run is at its end.

    Returns:
        `inputs`, by network the result of `input_importance`, unless there are more than `MOST_INPUTS`.
    """
    if not ended or not isinstance(agent, Learner):  # an agent of another kind need not have networks of ours
        return {}
    if agent.observation_size + agent.action_size > MOST_INPUTS:
        return {}
    return {"inputs": input_importance(agent, None if replay is None else replay.state()[0]["transitions"])}


def _bits(places: NDArray[np.int64], total: int) -> NDArray[np.uint8]:
    """Return which of `total` places are among these, one bit each, the lowest first, uint8 [total / 8]."""
    bits = np.zeros((total + 7) // 8, np.uint8)
    np.bitwise_or.at(bits, places >> 3, (1 << (places & 7)).astype(np.uint8))
    return bits


def connections(agent: Agent) -> dict[str, int]:
    """Return the number of connections of each of an agent's networks, targets included."""
    return {name: sum(layer.connections for layer in network.layers) for name, network in agent.networks().items()}


def density(agent: Agent) -> float:
    """Return connections over places of all networks that learn; targets only follow."""
    layers = [layer for network in online(agent.networks()).values() for layer in network.layers]
    return sum(layer.connections for layer in layers) / sum(math.prod(layer.shape) for layer in layers)
