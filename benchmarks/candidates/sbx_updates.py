"""SBX's SimBa and CrossQ (Stable-Baselines3 in JAX): whole updates at any sizes, one at a time as in a run."""

from __future__ import annotations

from typing import Any

TRANSITIONS = 5_000
UPDATES = 6


class SBXUpdates:
    packages = ("sbx-rl", "jax", "gymnasium")

    def __init__(self, specification: dict[str, Any]) -> None:
        import gymnasium
        import jax
        import numpy as np
        import sbx

        observations, actions = specification["sizes"]

        class Sized(gymnasium.Env):  # type: ignore[type-arg]
            """An environment of these sizes that takes no time."""

            observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
            action_space = gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32)

            def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
                super().reset(seed=seed)
                return self._observed(), {}

            def step(self, action: Any) -> Any:
                observation = self._observed()
                return observation, float(observation[0]), False, False, {}

            def _observed(self) -> Any:
                return self.np_random.standard_normal(observations, dtype=np.float32)

        kind, policy = {"simba": (sbx.SAC, "SimbaPolicy"), "crossq": (sbx.CrossQ, "MlpPolicy")}[specification["agent"]]
        options, batch_size = specification["options"], specification["batch_size"]
        networks = {"pi": list(options["actor_hidden_sizes"]), "qf": list(options["hidden_sizes"])}
        # XLA has no option for its number of threads: it goes by the cores that this process may use.
        self._model = kind(
            policy,
            Sized(),
            buffer_size=TRANSITIONS,
            learning_starts=TRANSITIONS + 1,
            batch_size=batch_size,
            policy_kwargs={"net_arch": networks, "n_critics": options.get("n_critics", 2)},
            seed=0,
        )
        self._model.learn(TRANSITIONS, log_interval=10**9)  # at random, without an update
        self._states = lambda: (self._model.policy.actor_state.params, self._model.policy.qf_state.params)

        def update() -> int:
            for _ in range(UPDATES):
                self._model.train(1, batch_size)
            jax.block_until_ready(self._states())
            return UPDATES

        kernels = [
            leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(self._states())
            if "kernel" in jax.tree_util.keystr(path)
        ]
        self.facts = {"connections": sum(int(kernel.size) for kernel in kernels)}
        self.tasks = {"update": update}

    def warm_up(self) -> None:
        self.tasks["update"]()


KINDS = {"sbx": SBXUpdates}
