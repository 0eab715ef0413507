"""Graesser, Evci, Elsen, Castro: The State of Sparse Training in Deep Reinforcement Learning, ICML 2022.

ERK at 90% over all layers, for the whole of 1M steps but what their schedules say.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import Preset
from rewirl.presets.sokar import SOFT_TARGETS, TASKS

_COMMON: dict[str, Any] = {"sparsity": 0.9, "learning_starts": 1_000, "temperature": "auto", **SOFT_TARGETS}
_REWIRED: dict[str, Any] = {
    "weight_decay": 1e-6,
    "drop": "magnitude",
    "initial_scale": "sparse",
    "regrow_dropped": True,
    "adapt_fraction": 0.5,
    "anneal": "cosine",
    "adapt_end": 800_000,
}

_METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "static": ("static-sac", {"weight_decay": 1e-6, "rule": "static", "initial_scale": "sparse"}),
    "prune": (
        "ds-sac",
        {
            "weight_decay": 1e-4,
            "rule": "prune",
            "initial_sparsity": 0.0,
            "sparsity_start": 200_000,
            "sparsity_end": 800_000,
            "adapt_fraction": 0.05,
        },
    ),
    "set": ("ds-sac", {"rule": "set", **_REWIRED}),
    "rigl": ("ds-sac", {"rule": "rigl", **_REWIRED}),
}
"""The agent, and what differs in its options."""

PRESETS = {
    f"graesser/{method}-sac/{env}": Preset(agent, env, {**_COMMON, **options})
    for method, (agent, options) in _METHODS.items()
    for env in TASKS
}
