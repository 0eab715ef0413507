"""Methods with no published code or settings for these tasks: the paper's own numbers where it has some, over 1M steps.

By paper; `docs/methods.md` says what each of them is.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.plasticity import CBP
from rewirl.presets.preset import Preset
from rewirl.presets.sokar import SOFT_TARGETS, TASKS

_COSINE: dict[str, Any] = {"anneal": "cosine", "adapt_end": 750_000, "regrow_dropped": True}
_SMALL_STEPS: dict[str, Any] = {"learning_rate": 3e-4, "weight_decay": 0.0, "batch_size": 256}
_SAC: dict[str, Any] = {"temperature": "auto", **SOFT_TARGETS}

# Arnob et al. 2021 (SNIP): 5% of a dense network, after the first update of the actor.
_SNIP: dict[str, Any] = {
    "sparsity": 0.95,
    "distribution": "global",
    "rule": "prune",
    "drop": "sensitivity",
    "initial_sparsity": 0.0,
    "adapt_fraction": 0.05,
}
_UPDATE_1: dict[str, Any] = {"sparsity_end": 1, "adapt_every": 1, "adapt_end": 1}
_UPDATE_2: dict[str, Any] = {"sparsity_end": 2, "adapt_every": 2, "adapt_end": 2}

# Jin et al. 2026 (TAR): a static topology, revived once by 1% of all places.
_TAR: dict[str, Any] = {
    "sparsity": 0.95,
    "distribution": "connectivity",
    "rule": "set",
    "initial_sparsity": 0.96,
    "sparsity_end": 100_000,
    "adapt_every": 100_000,
    "adapt_fraction": 0.0,
    "adapt_end": 100_000,
}

_METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    # Lasby et al. 2024 (SRigL): gamma 0.3, a share of 0.3 annealed until 75% of training; Erdos-Renyi
    "srigl/td3": (
        "ds-td3",
        {
            "sparsity": 0.9,
            "structure": "constant-fan-in",
            "ablate_below": 0.3,
            "rule": "rigl",
            "initial_scale": "sparse",
            "adapt_fraction": 0.3,
            **_COSINE,
        },
    ),
    # Vrce et al. 2026 (RNM-TD3)
    "rnm/2-of-4-td3": ("ds-td3", {"sparsity": 0.5, "structure": "2:4", "rule": "set", "drop": "magnitude"}),
    "rnm/1-of-4-td3": ("ds-td3", {"sparsity": 0.5, "structure": "1:4", "rule": "set", "drop": "magnitude"}),
    "snip/td3": ("ds-td3", {**_SNIP, **_UPDATE_2}),
    "snip/sac": ("ds-sac", {**_SNIP, **_UPDATE_1, **_SAC}),
    "tar/td3": ("ds-td3", _TAR),
    "tar/sac": ("ds-sac", {**_TAR, **_SAC}),
    # Liu et al. 2025 (neuroplastic expansion): from 20% to 75% of a dense network
    "ne/td3": (
        "ds-td3",
        {
            "sparsity": 0.25,
            "rule": "rigl",
            "initial_sparsity": 0.8,
            "sparsity_end": 750_000,
            "initial_scale": "largest",
            "adapt_fraction": 0.02,
            **_COSINE,
            **_SMALL_STEPS,
        },
    ),
    # Sokar et al. 2023 (ReDo): a dense network, units of at most a tenth of the mean activation
    "redo/sac": ("sac", {"redo_every": 1_000, "redo_threshold": 0.1, **_SAC}),
    # Dohare et al. 2024 (continual backprop): of the mature units one in 10,000 per update
    "cbp/td3": ("td3", CBP),
    "cbp/sac": ("sac", {**CBP, **_SAC}),
    # Obando-Ceron et al. 2024: five times as wide, pruned to 95% between 20% and 80% of training; as Graesser et al.
    "obando-ceron/wide-prune-sac": (
        "ds-sac",
        {
            "hidden_sizes": (1280, 1280),
            "learning_starts": 1_000,
            "weight_decay": 1e-4,
            "sparsity": 0.95,
            "rule": "prune",
            "initial_sparsity": 0.0,
            "sparsity_start": 200_000,
            "sparsity_end": 800_000,
            "adapt_fraction": 0.05,
            **_SAC,
        },
    ),
}
"""The agent, and what differs in its options."""

PRESETS = {
    f"{method}/{env}": Preset(agent, env, options) for method, (agent, options) in _METHODS.items() for env in TASKS
}
