"""PQN with the settings of Gallici et al. 2025 and their code: 10 million steps of MinAtar, 500,000 of CartPole.

Networks for MinAtar are ours: two layers of 256 on flat frames, where theirs is a small convolutional network. So is
80% for the sparse ones. On CartPole their rewards are a tenth; here they are scaled by what the run sees.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.minatar import GAMES
from rewirl.presets.preset import Preset

_COMMON: dict[str, Any] = {"learning_rate_schedule": "linear", "batch_size": 128}

_MINATAR: dict[str, Any] = {
    **_COMMON,
    "env_module": "rewirl.minatar",
    "env_kwargs": {"max_episode_steps": 1_000},  # of the games that their code plays
    "n_envs": 128,
    "rollout_steps": 4_096,  # 32 in each environment
    "epochs": 2,
    "learning_rate": 5e-4,
    "learning_rate_updates": 2_441 * 64,
    "return_lambda": 0.65,
    "epsilon_end": 0.05,
    "epsilon_steps": 1_000_000,
    "total_timesteps": 10_000_000,
    "eval_every": 100_000,
    "checkpoint_every": 500_000,
}
_CLASSIC: dict[str, Any] = {
    **_COMMON,
    "n_envs": 32,
    "scale_rewards": True,
    "rollout_steps": 2_048,  # 64 in each environment
    "epochs": 4,
    "learning_rate": 1e-4,
    "learning_rate_updates": 244 * 64,
    "return_lambda": 0.95,
    "epsilon_end": 0.2,
    "epsilon_steps": 100_000,
    "total_timesteps": 500_000,
    "eval_every": 20_000,
}

PRESETS = {
    f"gallici/{kind}pqn/{env.rpartition('/')[2]}": Preset(f"{kind}pqn", env, options)
    for kind in ("", "static-", "ds-")
    for env, options in (
        *((f"MinAtar/{game}-v1", _MINATAR) for game in GAMES),
        ("CartPole-v1", _CLASSIC),
    )
}
