"""Tan, Hu, Pan, Huang: RLx2, Training a Sparse Deep Reinforcement Learning Model from Scratch, ICLR 2023."""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import VERSION, Preset
from rewirl.presets.sokar import SOFT_TARGETS

# Table 2: sparsity of actor and critics, by environment.
_SPARSITIES = {
    "td3": {"HalfCheetah": (0.90, 0.85), "Hopper": (0.98, 0.95), "Walker2d": (0.97, 0.95), "Ant": (0.96, 0.88)},
    "sac": {"HalfCheetah": (0.90, 0.80), "Hopper": (0.98, 0.95), "Walker2d": (0.90, 0.90), "Ant": (0.90, 0.75)},
}

_COMMON: dict[str, Any] = {
    "rule": "rigl",
    "initial_scale": "largest",
    "regrow_dropped": True,
    "adapt_every": 10_000,
    "adapt_fraction": 0.5,
    "anneal": "cosine",
    "adapt_end": 2_975_000,
    "learning_rate": 3e-4,
    "weight_decay": 0.0,
    "batch_size": 256,
    "learning_starts": 25_000,
    "n_steps": 3,
    "n_steps_after": 300_000,
    "buffer_distance": 0.2,
    "total_timesteps": 3_000_000,
}

_BY_AGENT: dict[str, dict[str, Any]] = {
    "td3": {"buffer_size": 1_000_000, "buffer_minimum": 100_000},
    "sac": {
        "buffer_size": 3_000_000,
        "buffer_minimum": 200_000,
        "temperature": "auto",
        "n_step_entropy": True,
        **SOFT_TARGETS,
    },
}

PRESETS = {
    f"rlx2/{agent}/{task}-{VERSION}": Preset(
        f"ds-{agent}",
        f"{task}-{VERSION}",
        {"sparsity": critic, "actor_sparsity": actor, **_COMMON, **_BY_AGENT[agent]},
    )
    for agent, sparsities in _SPARSITIES.items()
    for task, (actor, critic) in sparsities.items()
}
