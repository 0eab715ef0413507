"""PPO with the settings of CleanRL (Huang et al., JMLR 2022): a million steps on MuJoCo, 500,000 on CartPole.

Its loss has half the squared error of values, so its coefficient 0.5 is 0.25 here.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import Preset
from rewirl.presets.sokar import TASKS

_COMMON: dict[str, Any] = {"learning_rate_schedule": "linear", "value_clip_range": 0.2, "value_coefficient": 0.25}

_MUJOCO: dict[str, Any] = {
    **_COMMON,
    "total_timesteps": 1_000_000,
    "learning_rate_updates": 488 * 320,
    "eval_every": 20_000,
}
_CLASSIC: dict[str, Any] = {
    **_COMMON,
    "n_envs": 4,
    "normalise_observations": False,
    "scale_rewards": False,
    "learning_rate": 2.5e-4,
    "rollout_steps": 512,  # 128 in each environment
    "batch_size": 128,
    "epochs": 4,
    "entropy_coefficient": 0.01,
    "total_timesteps": 500_000,
    "learning_rate_updates": 976 * 16,
    "eval_every": 20_000,
}

PRESETS = {
    **{f"cleanrl/ppo/{env}": Preset("ppo", env, _MUJOCO) for env in TASKS},
    "cleanrl/ppo/CartPole-v1": Preset("ppo", "CartPole-v1", _CLASSIC),
}
