"""SBX's TD3 (Stable-Baselines3 in JAX), environment steps with an update each."""

from __future__ import annotations

from typing import Any

STEPS = 50
"""Steps of a call to `learn`, whose own set-up is then a small share."""


class SBX:
    packages = ("sbx-rl", "jax", "gymnasium", "mujoco")

    def __init__(self, specification: dict[str, Any]) -> None:
        import gymnasium
        import jax
        import numpy as np
        from sbx import TD3
        from stable_baselines3.common.noise import NormalActionNoise

        # XLA has no option for its number of threads: it goes by the cores that this process may use.
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
        )
        parameters = (self._model.policy.actor_state.params, self._model.policy.qf_state.params)
        # The two critics are one network whose parameters have an axis more.
        kernels = [
            leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(parameters)
            if "kernel" in jax.tree_util.keystr(path)
        ]
        self.facts = {"connections": sum(int(kernel.size) for kernel in kernels)}
        self.tasks = {"step": lambda: self._learn(STEPS)}

    def warm_up(self) -> None:
        self._learn(self._learning_starts + 200)

    def _learn(self, steps: int) -> int:
        before = self._model.num_timesteps
        self._model.learn(steps, log_interval=10**9, reset_num_timesteps=False)
        return int(self._model.num_timesteps - before)


KINDS = {"sbx": SBX}
