"""Sokar, Mocanu, Pechenizkiy: SpaceNet: Make Free Space for Continual Learning, Neurocomputing 2021.

The paper classifies images. Its way of learning one task after the other is taken to four tasks of control, which
differ by the order of the observation's features.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import VERSION, Preset
from rewirl.presets.sokar import SOFT_TARGETS

_STEPS, _TASKS, _WARM_UP = 250_000, 4, 1_000

# A fifth of the places of hidden layers for each task, and outputs of its own; a fifth of a task's connections rewired
# at an event, as in the code.
_OPTIONS: dict[str, Any] = {
    "layer_sparsities": (0.8, 0.8, 0.0),
    "rule": "set",
    "drop": "magnitude",
    "adapt_fraction": 0.2,
    "freeze_after": tuple(task * _STEPS - _WARM_UP for task in range(1, _TASKS)),
    "learning_starts": _WARM_UP,
    "buffer_size": 50_000,
    "total_timesteps": _TASKS * _STEPS,
    "env_module": "rewirl.noisy",
}


PRESETS = {
    f"spacenet/{agent}/{task}-{VERSION}": Preset(
        f"ds-{agent}",
        "rewirl/Noisy-v0",
        {
            **_OPTIONS,
            **targets,
            "env_kwargs": {"env": f"{task}-{VERSION}", "fraction": 0.0, "permute_every": _STEPS},
        },
    )
    for task in ("HalfCheetah", "Hopper", "Walker2d", "Ant")
    for agent, targets in (("td3", {}), ("sac", SOFT_TARGETS))
}
