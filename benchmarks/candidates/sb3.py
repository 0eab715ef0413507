"""Stable-Baselines3's TD3, environment steps with an update each."""

from __future__ import annotations

from typing import Any

STEPS = 50
"""Steps of a call to `learn`, whose own set-up is then a small share."""


class SB3:
    packages = ("stable-baselines3", "torch", "gymnasium", "mujoco")

    def __init__(self, specification: dict[str, Any]) -> None:
        import gymnasium
        import numpy as np
        import torch
        from stable_baselines3 import TD3
        from stable_baselines3.common.noise import NormalActionNoise

        torch.set_num_threads(specification["threads"])
        environment = gymnasium.make("HalfCheetah-v5")
        actions = environment.action_space.shape[0]
        self._learning_starts = specification["learning_starts"]
        self._model = TD3(
            "MlpPolicy",
            environment,
            learning_rate=1e-3,
            batch_size=specification["batch_size"],
            learning_starts=self._learning_starts,
            train_freq=1,
            gradient_steps=1,
            action_noise=NormalActionNoise(np.zeros(actions), np.full(actions, 0.1)),
            policy_kwargs={"net_arch": list(specification["hidden_sizes"])},
            seed=0,
            device="cpu",
        )
        networks = (self._model.actor, self._model.critic)
        self.facts = {"connections": sum(p.numel() for net in networks for p in net.parameters() if p.ndim == 2)}
        self.tasks = {"step": lambda: self._learn(STEPS)}

    def warm_up(self) -> None:
        self._learn(self._learning_starts + 200)

    def _learn(self, steps: int) -> int:
        before = self._model.num_timesteps
        self._model.learn(steps, log_interval=10**9, reset_num_timesteps=False)
        return int(self._model.num_timesteps - before)


KINDS = {"sb3": SB3}
