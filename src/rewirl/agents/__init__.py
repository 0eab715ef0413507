"""The agents, each a file that reads top to bottom like its paper's algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from rewirl.agents.agent import Agent
from rewirl.agents.config import AgentConfig
from rewirl.agents.policy import Policy
from rewirl.agents.sac import SAC, SACConfig
from rewirl.agents.td3 import TD3, TD3Config

AGENTS: dict[str, type[TD3] | type[SAC]] = {
    "td3": TD3,
    "static-td3": TD3,
    "ds-td3": TD3,
    "sac": SAC,
    "static-sac": SAC,
    "ds-sac": SAC,
}
"""The class of each agent; static and dense ones are the same algorithm with another topology."""

__all__ = [
    "AGENTS",
    "SAC",
    "TD3",
    "Agent",
    "AgentConfig",
    "Policy",
    "SACConfig",
    "TD3Config",
    "load_policy",
    "make_agent",
]


def make_agent(name: str, config: Any, observation_size: int, action_size: int, seed: int, threads: int = 1) -> Agent:
    """Return a new agent.

    Args:
        name: one of `AGENTS`.
        config: its hyper-parameters, topology included.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: how many threads may compute, at least 1; the results do not depend on it.

    Raises:
        ValueError: there is no such agent, or the configuration is impossible for these sizes.
    """
    if name not in AGENTS:
        raise ValueError(f"no agent {name!r}; there are {', '.join(AGENTS)}")
    return AGENTS[name](name, config, observation_size, action_size, seed, threads)


def load_policy(arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> Policy:
    """Return the policy that an agent's `policy_state` described.

    Raises:
        ValueError: an array is missing or impossible; the message names it.
    """
    return Policy.from_state(arrays, values)
