"""The papers' settings by agent and environment: data, and the look-up."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rewirl.agents import AgentConfig
from rewirl.topology import TopologyConfig
from rewirl.training.run import agent_config_class

PAPER = "ds-drl"
VERSION = "v5"

# Sokar et al. 2022, appendix: lambda of the two hidden layers, by environment whatever its version (the paper's is v3).
TD3_LAMBDAS = {
    "HalfCheetah": (7.0, 64.0),
    "Hopper": (7.0, 64.0),
    "Walker2d": (7.0, 64.0),
    "Ant": (40.0, 64.0),
    "Humanoid": (61.0, 64.0),
}
SAC_LAMBDAS = {
    "HalfCheetah": (12.0, 80.0),
    "Hopper": (7.0, 20.0),
    "Walker2d": (12.0, 80.0),
    "Ant": (30.0, 64.0),
    "Humanoid": (61.0, 64.0),
}

SOFT_TARGETS = {"tau": 0.005, "target_update_interval": 1}


@dataclass(frozen=True)
class _Agent:
    """What the paper has an agent do, beside the defaults of its settings."""

    lambdas: dict[str, tuple[float, float]] | None
    """By environment; None is dense."""

    rule: str = "static"
    adapt_fraction: float = 0.05


_AGENTS = {
    "td3": _Agent(None),
    "static-td3": _Agent(TD3_LAMBDAS),
    "ds-td3": _Agent(TD3_LAMBDAS, "set"),
    "sac": _Agent(None),
    "static-sac": _Agent(SAC_LAMBDAS),
    "ds-sac": _Agent(SAC_LAMBDAS, "set", 0.1),
}

# Further settings that the paper has for an agent, by the middle part of a preset's name: the agent and what differs.
_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{agent: (agent, {}) for agent in _AGENTS},
    "sac-soft": ("sac", SOFT_TARGETS),  # the dense baseline of the main text; the appendix has hard targets
}


@dataclass(frozen=True)
class Preset:
    """A paper's setting."""

    agent: str
    env: str
    config: AgentConfig
    """The agent's settings, topology included."""


def names() -> list[str]:
    """Return the names of all presets, paper/agent/environment, such as ds-drl/ds-td3/HalfCheetah-v5."""
    return [f"{PAPER}/{variant}/{base}-{VERSION}" for variant in _VARIANTS for base in TD3_LAMBDAS]


def preset(name: str) -> Preset:
    """Return what a preset stands for.

    Args:
        name: one of `names`.

    Raises:
        ValueError: there is no such preset; the message says what is near.
    """
    known = names()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no preset {name!r}; {hint}`rewirl presets` lists them all")
    _, variant, env_id = name.split("/")
    agent, settings = _VARIANTS[variant]
    return Preset(agent, env_id, agent_config(agent, env_id, **settings))


def agent_config(agent: str, env_id: str, **settings: Any) -> AgentConfig:
    """Return the settings with which an agent trains on an environment unless told otherwise.

    Args:
        agent: one of `rewirl.agents.AGENTS`.
        env_id: the environment, such as "HalfCheetah-v5"; see `topology` for what depends on it.
        **settings: fields of the agent's settings that are to differ.

    Raises:
        ValueError: there is no such agent, or a setting is impossible.
    """
    config: AgentConfig = agent_config_class(agent)(**{"topology": topology(agent, env_id), **settings})
    return config


def topology(agent: str, env_id: str) -> TopologyConfig:
    """Return the topology with which an agent trains on an environment unless told otherwise.

    Args:
        agent: dense ("td3", "sac"), sparse but never rewired ("static-td3", "static-sac"), or rewired by SET ("ds-td3",
            "ds-sac").
        env_id: the environment, such as "HalfCheetah-v5". An environment of the paper gets the paper's lambdas whatever
            its version; for any other, half of all connections are left out, Erdos-Renyi.

    Raises:
        ValueError: there is no such agent; the nearest one is named.
    """
    agent_config_class(agent)
    of_agent = _AGENTS[agent]
    if of_agent.lambdas is None:
        return TopologyConfig(sparsity=0.0, rule=of_agent.rule)
    lambdas = of_agent.lambdas.get(env_id.rpartition("-v")[0])
    return TopologyConfig(
        sparsity=0.5 if lambdas is None else None,
        lambdas=lambdas,
        rule=of_agent.rule,
        adapt_fraction=of_agent.adapt_fraction,
    )
