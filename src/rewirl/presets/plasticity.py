"""Slippery Ant of Dohare et al.: Loss of Plasticity in Deep Continual Learning, Nature 2024, for TD3 and DS-TD3.

The paper has PPO over 20 million steps, with another friction every 2 million. Agent and length here are ours; settings
of continual backprop are the paper's, and those of ReDo those of Sokar et al. 2023.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import VERSION, Preset
from rewirl.presets.sokar import TD3_LAMBDAS

_TASK: dict[str, Any] = {
    "env_module": "rewirl.changing",
    "env_kwargs": {"every": 250_000},
    "total_timesteps": 1_000_000,
    "eval_every": 10_000,
}
CBP: dict[str, Any] = {
    "cbp_replacement_rate": 1e-4,
    "cbp_maturity_threshold": 10_000,
    "bias_correction": "connection",  # Adam counts the steps of a replaced unit from 0
}
"""Continual backprop as the paper has it."""

_UNITS: dict[str, dict[str, Any]] = {"": {}, "redo-": {"redo_every": 1_000, "redo_threshold": 0.1}, "cbp-": CBP}
_TOPOLOGY: dict[str, dict[str, Any]] = {"td3": {}, "ds-td3": {"sparsity": None, "lambdas": TD3_LAMBDAS["Ant"]}}

PRESETS = {
    f"slippery-ant/{method}{agent}/Ant-{VERSION}": Preset(
        agent, "rewirl/SlipperyAnt-v0", {**topology, **units, **_TASK}
    )
    for agent, topology in _TOPOLOGY.items()
    for method, units in _UNITS.items()
}
