"""Elsayed, Vasan, Mahmood: Streaming Deep Reinforcement Learning Finally Works, 2024 (stream-x).

The settings are the defaults of the agents. Two of the three kinds are ours: sparse networks with 80% of the
connections missing.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.minatar import GAMES
from rewirl.presets.preset import VERSION, Preset
from rewirl.presets.sokar import TASKS

_TIME = ("rewirl.timed:Timed",)
_KINDS = ("", "static-", "ds-")

_MUJOCO: dict[str, Any] = {"wrapper": _TIME, "total_timesteps": 2_000_000, "eval_every": 20_000}
_CLASSIC: dict[str, Any] = {"wrapper": _TIME, "total_timesteps": 500_000, "eval_every": 10_000}
_MINATAR: dict[str, Any] = {
    "env_module": "rewirl.minatar",
    "hidden_sizes": (128, 128),  # on flat frames; the paper has a small convolutional network
    "epsilon_steps": 1_000_000,
    "total_timesteps": 5_000_000,
    "eval_every": 100_000,
    "checkpoint_every": 500_000,
}

PRESETS = {
    **{
        f"stream-x/{kind}stream-ac/{env}": Preset(f"{kind}stream-ac", env, _MUJOCO)
        for kind in _KINDS
        for env in (*TASKS, f"InvertedPendulum-{VERSION}")
    },
    **{
        f"stream-x/{kind}{agent}/{env}": Preset(f"{kind}{agent}", env, _CLASSIC)
        for agent in ("stream-q", "stream-sarsa")
        for kind in _KINDS
        for env in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")
    },
    **{
        f"stream-x/{kind}{agent}/{game}-v1": Preset(f"{kind}{agent}", f"MinAtar/{game}-v1", _MINATAR)
        for agent in ("stream-q", "stream-sarsa")
        for kind in _KINDS
        for game in GAMES
    },
}
