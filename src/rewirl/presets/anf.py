"""Grooten et al.: Automatic Noise Filtering with Dynamic Sparse Training in Deep Reinforcement Learning, AAMAS 2023.

Only the input layer is sparse, and most inputs are noise.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import VERSION, Preset
from rewirl.presets.sokar import SOFT_TARGETS

_REAL_FEATURES = {"HalfCheetah": 17, "Hopper": 11, "Walker2d": 17, "Humanoid": 348}
"""Of the observations, by environment; the code draws the others anew in every pass."""

_NOISE = 0.9

_SPARSE: dict[str, Any] = {
    "layer_sparsities": (0.8, 0.0, 0.0),
    "rule": "set",
    "drop": "magnitude",
    "adapt_fraction": 0.05,
}


def _preset(agent: str, task: str, options: dict[str, Any]) -> Preset:
    return Preset(
        agent,
        "rewirl/Noisy-v0",
        {
            **options,
            "learning_starts": 25_000,
            "resample_noise_from": _REAL_FEATURES[task],
            "env_module": "rewirl.noisy",
            "env_kwargs": {"env": f"{task}-{VERSION}", "fraction": _NOISE},
        },
    )


# Their code has the optimiser of TD3 for SAC too.
_SAC: dict[str, Any] = {"learning_rate": 1e-3, "weight_decay": 2e-4, "batch_size": 100, **SOFT_TARGETS}

PRESETS = {
    f"anf/{dense}{agent}/{task}-{VERSION}": _preset(
        agent if dense else f"ds-{agent}", task, {**usual, **({} if dense else _SPARSE)}
    )
    for task in _REAL_FEATURES
    for agent, usual in (("td3", {}), ("sac", _SAC))
    for dense in ("", "dense-")
}
