"""Sokar, Mocanu, Mocanu, Pechenizkiy, Stone: Dynamic Sparse Training for Deep Reinforcement Learning, IJCAI 2022."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewirl.presets.preset import VERSION, Preset

# Appendix: lambda of the two hidden layers, by environment whatever its version.
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
TASKS = tuple(f"{task}-{VERSION}" for task in TD3_LAMBDAS)

_LAMBDAS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "td3": {},
    "static-td3": TD3_LAMBDAS,
    "ds-td3": TD3_LAMBDAS,
    "sac": {},
    "static-sac": SAC_LAMBDAS,
    "ds-sac": SAC_LAMBDAS,
}

_PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "td3": {"learning_starts": 25_000},
    "sac": {"learning_starts": 10_000, "tau": 1.0, "target_update_interval": 1_000, "temperature": 0.2},
}
"""What the paper says of an algorithm, in every environment, as far as agents have something else as a rule."""

SOFT_TARGETS = {"tau": 0.005, "target_update_interval": 1}

PRESETS = {
    **{f"ds-drl/{agent}/{env}": Preset(agent, env) for agent in _LAMBDAS for env in TASKS},
    # the dense baseline of the main text; the appendix has hard targets
    **{f"ds-drl/sac-soft/{env}": Preset("sac", env, SOFT_TARGETS) for env in TASKS},
}


def protocol(agent: str) -> Mapping[str, Any]:
    """Return the options that the paper gives an agent in every environment; none for an agent it does not have."""
    return _PROTOCOL[agent.rpartition("-")[2]] if agent in _LAMBDAS else {}


def defaults(agent: str, env: str) -> dict[str, Any]:
    """Return the options that the paper gives an agent in one of its environments, whatever its version; else none."""
    lambdas = _LAMBDAS.get(agent, {}).get(env.rpartition("-v")[0])
    return {} if lambdas is None else {"sparsity": None, "lambdas": lambdas}
