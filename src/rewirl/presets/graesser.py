"""Graesser, Evci, Elsen, Castro: The State of Sparse Training in Deep Reinforcement Learning, ICML 2022.

ERK at 90% over all layers: SAC and PPO for 1M steps on MuJoCo, DQN for 100,000 on classic control after 1,000 random
ones.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import Preset
from rewirl.presets.sokar import SOFT_TARGETS, TASKS

_OF_SAC: dict[str, Any] = {
    "learning_starts": 1_000,
    "temperature": "auto",
    "eval_every": 10_000,
    "eval_episodes": 30,
    **SOFT_TARGETS,
}
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
    "": ("sac", {"weight_decay": 1e-4}),
    "static-": ("static-sac", {"sparsity": 0.9, "weight_decay": 1e-6, "rule": "static", "initial_scale": "sparse"}),
    "prune-": (
        "ds-sac",
        {
            "sparsity": 0.9,
            "weight_decay": 1e-4,
            "rule": "prune",
            "initial_sparsity": 0.0,
            "sparsity_start": 200_000,
            "sparsity_end": 800_000,
            "adapt_fraction": 0.05,
        },
    ),
    "set-": ("ds-sac", {"sparsity": 0.9, "rule": "set", **_REWIRED}),
    "rigl-": ("ds-sac", {"sparsity": 0.9, "rule": "rigl", **_REWIRED}),
}
"""The agent, and what differs in its options."""

CLASSIC = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")

_OF_DQN: dict[str, Any] = {
    "hidden_sizes": (512, 512),
    "learning_rate": 1e-3,
    "weight_decay": 1e-6,
    "target_update_interval": 100,
    "double_q": False,
    "loss": "squared",
    "epsilon_start": 0.01,
    "epsilon_end": 0.01,
    "total_timesteps": 101_000,
    "eval_every": 2_000,
    "eval_episodes": 20,
}
_SPARSE_DQN: dict[str, Any] = {"sparsity": 0.9}
_REWIRED_DQN: dict[str, Any] = {**_SPARSE_DQN, **_REWIRED, "adapt_end": 75_000}

_METHODS_OF_DQN: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("dqn", {}),
    "static-": ("static-dqn", {**_SPARSE_DQN, "initial_scale": "sparse"}),
    "prune-": (
        "ds-dqn",
        {
            "sparsity": 0.9,
            "rule": "prune",
            "initial_sparsity": 0.0,
            "sparsity_start": 20_000,
            "sparsity_end": 75_000,
        },
    ),
    "set-": ("ds-dqn", {"rule": "set", **_REWIRED_DQN}),
    "rigl-": ("ds-dqn", {"rule": "rigl", **_REWIRED_DQN}),
}

_OF_PPO: dict[str, Any] = {
    "initial_deviation": 0.35,
    "learning_rate_schedule": "linear",
    "learning_rate_updates": 489 * 320,
    "weight_decay": 1e-6,
    "total_timesteps": 489 * 2048,
    "eval_every": 7 * 2048,
    "eval_episodes": 20,
}
_SPARSE_PPO: dict[str, Any] = {"sparsity": 0.9, "weight_decay": 1e-4, "initial_scale": "sparse"}
_REWIRED_PPO: dict[str, Any] = {
    **_REWIRED,
    **_SPARSE_PPO,
    "adapt_every": 250,
    "adapt_fraction": 0.3,
    "adapt_end": 120_000,
}

_METHODS_OF_PPO: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("ppo", {}),
    "static-": ("static-ppo", _SPARSE_PPO),
    "prune-": (
        "ds-ppo",
        {
            "sparsity": 0.9,
            "rule": "prune",
            "initial_scale": "dense",
            "initial_sparsity": 0.0,
            "sparsity_start": 32_000,
            "sparsity_end": 120_000,
            "adapt_every": 500,
        },
    ),
    "set-": ("ds-ppo", {"rule": "set", **_REWIRED_PPO}),
    "rigl-": ("ds-ppo", {"rule": "rigl", **_REWIRED_PPO}),
}

PRESETS = {
    **{
        f"graesser/{method}sac/{env}": Preset(agent, env, {**_OF_SAC, **options})
        for method, (agent, options) in _METHODS.items()
        for env in TASKS
    },
    **{
        f"graesser/{method}dqn/{env}": Preset(agent, env, {**_OF_DQN, **options})
        for method, (agent, options) in _METHODS_OF_DQN.items()
        for env in CLASSIC
    },
    **{
        f"graesser/{method}ppo/{env}": Preset(agent, env, {**_OF_PPO, **options})
        for method, (agent, options) in _METHODS_OF_PPO.items()
        for env in TASKS
    },
}
