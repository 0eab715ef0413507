"""Small tasks, from Pendulum to Pusher: settings that begin with those of RL Baselines3 Zoo for TD3, of BipedalWalker
for SAC; and CartPole for DS-DQN."""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import Preset

_COMMON: dict[str, Any] = {"weight_decay": 0.0, "eval_every": 5_000}
_TUNED: dict[str, Any] = {**_COMMON, "gamma": 0.98, "buffer_size": 200_000}

PRESETS = {
    "small/pendulum": Preset("ds-td3", "Pendulum-v1", {**_TUNED, "total_timesteps": 20_000, "eval_every": 1_000}),
    "small/mountain-car": Preset(
        "ds-td3",
        "MountainCarContinuous-v0",
        {
            **_COMMON,
            "exploration": "ornstein-uhlenbeck",  # the goal is met by no noise that changes its mind at every step
            "exploration_noise": 0.5,
            "total_timesteps": 100_000,
            "buffer_size": 100_000,
        },
    ),
    "small/lunar-lander": Preset(
        "ds-td3",
        "LunarLanderContinuous-v3",
        # With the usual step size of TD3, 1e-3, and batches of 100 a run of 105,000 steps did not keep landing.
        {
            **_COMMON,
            "learning_rate": 3e-4,
            "batch_size": 256,
            "buffer_size": 300_000,
            "learning_starts": 10_000,
            "total_timesteps": 200_000,
        },
    ),
    "small/bipedal-walker": Preset(
        "ds-sac",  # walks after some 70,000 steps; DS-TD3 with the settings for TD3 stood still for 260,000
        "BipedalWalker-v3",
        {
            **_COMMON,
            "gamma": 0.98,
            "tau": 0.02,
            "learning_rate": 7e-4,
            "batch_size": 256,
            "buffer_size": 300_000,
            "learning_starts": 10_000,
            "total_timesteps": 200_000,
        },
    ),
    "small/swimmer": Preset(
        "ds-td3",
        "Swimmer-v5",
        {**_COMMON, "gamma": 0.9999, "learning_starts": 10_000, "total_timesteps": 200_000},
    ),
    "small/cartpole": Preset(
        "ds-dqn",
        "CartPole-v1",
        {
            "learning_rate": 1e-3,
            "batch_size": 64,
            "n_steps": 3,
            "update_every": 2,
            "target_update_interval": 100,
            "epsilon_end": 0.04,
            "epsilon_steps": 8_000,
            "total_timesteps": 50_000,
            "eval_every": 2_500,
        },
    ),
    "small/pusher": Preset("ds-td3", "Pusher-v5", {**_COMMON, "total_timesteps": 100_000}),
}


def suggestion(env: str) -> str | None:
    """Return the name of the preset for an environment, whatever its version, or None."""
    task = env.rpartition(":")[2].rpartition("-v")[0]
    return next((name for name, preset in PRESETS.items() if preset.env.rpartition("-v")[0] == task), None)
