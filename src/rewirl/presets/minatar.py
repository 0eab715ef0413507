"""DQN on MinAtar (Young and Tian 2019): Dopamine's settings, and wide pruned networks of Obando-Ceron et al. 2024.

The networks are ours: two layers of 256 on flat frames, where Dopamine has a small convolutional network. So is 80% for
the sparse ones.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import Preset

GAMES = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")

_STEPS, _WARM_UP, _UPDATE_EVERY = 10_000_000, 1_000, 4

_DOPAMINE: dict[str, Any] = {
    "env_module": "rewirl.minatar",
    "total_timesteps": _STEPS,
    "eval_every": 100_000,
    "checkpoint_every": 500_000,
    "adam_epsilon": 3.125e-4,
    "batch_size": 32,
    "learning_starts": _WARM_UP,
    "update_every": _UPDATE_EVERY,
    "target_update_interval": 250,  # every 1,000 steps
    "double_q": False,
    "loss": "squared",
    "epsilon_end": 0.01,
    "epsilon_steps": 250_000,
}

_WIDE: dict[str, Any] = {
    "hidden_sizes": (768, 768),  # three times as wide
    "sparsity": 0.95,
    "rule": "prune",
    "initial_sparsity": 0.0,
    "sparsity_start": _STEPS // _UPDATE_EVERY // 5,
    "sparsity_end": 4 * _STEPS // _UPDATE_EVERY // 5,
}
"""From 20% to 80% of the updates."""

PRESETS = {
    **{
        f"dopamine/{kind}dqn/{game}-v1": Preset(f"{kind}dqn", f"MinAtar/{game}-v1", _DOPAMINE)
        for kind in ("", "static-", "ds-")
        for game in GAMES
    },
    **{
        f"obando-ceron/wide-prune-dqn/{game}-v1": Preset("ds-dqn", f"MinAtar/{game}-v1", {**_DOPAMINE, **_WIDE})
        for game in GAMES
    },
}
