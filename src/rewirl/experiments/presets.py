"""The papers' settings by agent and environment: data, and the look-up."""

from __future__ import annotations

from difflib import get_close_matches

from rewirl.topology.config import TopologyConfig

# Sokar et al. 2022, appendix: lambda of the two hidden layers, by environment whatever its version (the paper's is v3).
DS_TD3_LAMBDAS = {
    "HalfCheetah": (7.0, 64.0),
    "Hopper": (7.0, 64.0),
    "Walker2d": (7.0, 64.0),
    "Ant": (40.0, 64.0),
    "Humanoid": (61.0, 64.0),
}

# The rule of each agent; td3 is dense.
TD3_AGENTS = {"td3": "static", "static-td3": "static", "ds-td3": "set"}

PAPER = "ds-drl"
VERSION = "v5"


def names() -> list[str]:
    """Return the names of all presets, paper/agent/environment, such as ds-drl/ds-td3/HalfCheetah-v5."""
    return [f"{PAPER}/{agent}/{base}-{VERSION}" for agent in TD3_AGENTS for base in DS_TD3_LAMBDAS]


def preset(name: str) -> tuple[str, str, TopologyConfig]:
    """Return what a preset stands for.

    Args:
        name: one of `names`.

    Returns:
        The agent's name, the environment's id and the topology.

    Raises:
        ValueError: there is no such preset; the message says what is near.
    """
    known = names()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no preset {name!r}; {hint}There are: {', '.join(known)}")
    _, agent, env_id = name.split("/")
    return agent, env_id, td3_topology(agent, env_id)


def td3_topology(agent: str, env_id: str) -> TopologyConfig:
    """Return the topology with which a TD3 agent trains on an environment unless told otherwise.

    Args:
        agent: "td3" (dense), "static-td3" (sparse, never rewired) or "ds-td3" (rewired by SET).
        env_id: the environment, such as "HalfCheetah-v5". An environment of the paper gets the paper's lambdas whatever
            its version; for any other, half of all connections are left out, Erdos-Renyi.

    Returns:
        The topology configuration.

    Raises:
        ValueError: the agent is none of these.
    """
    if agent not in TD3_AGENTS:
        near = get_close_matches(agent, TD3_AGENTS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no TD3 agent {agent!r}; {hint}There are {', '.join(TD3_AGENTS)}")
    rule = TD3_AGENTS[agent]
    if agent == "td3":
        return TopologyConfig(sparsity=0.0, rule=rule)
    lambdas = DS_TD3_LAMBDAS.get(env_id.rpartition("-v")[0])
    return TopologyConfig(sparsity=0.5 if lambdas is None else None, lambdas=lambdas, rule=rule)
