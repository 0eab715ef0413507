"""RLtools' TD3 (C++, compiled when it is first used, matrix products by MKL), environment steps with an update each."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any


class RLtools:
    packages = ("rltools", "mkl", "gymnasium", "mujoco")

    def __init__(self, specification: dict[str, Any]) -> None:
        # Its compiled programs stay in the virtual environment instead of a folder that all users share.
        cache = Path(specification["environment"]) / "compiled"
        cache.mkdir(exist_ok=True)
        os.environ["TMPDIR"] = str(cache)
        os.environ["RL_TOOLS_FORCE_MKL"] = "1"  # rather fail than fall back to plain loops
        import gymnasium
        from rltools import TD3

        hidden, batch_size = specification["hidden_sizes"], specification["batch_size"]
        if len(set(hidden)) != 1:
            raise SystemExit(f"RLtools' hidden layers are all equally wide, got {hidden}")
        self._learning_starts = specification["learning_starts"]
        module = TD3(
            lambda: gymnasium.make("HalfCheetah-v5"),
            enable_evaluation=False,
            interface_name=f"batch{batch_size}_width{hidden[0]}_starts{self._learning_starts}",
            ACTOR_BATCH_SIZE=batch_size,
            CRITIC_BATCH_SIZE=batch_size,
            ACTOR_HIDDEN_DIM=hidden[0],
            CRITIC_HIDDEN_DIM=hidden[0],
            ACTOR_NUM_LAYERS=len(hidden) + 1,
            CRITIC_NUM_LAYERS=len(hidden) + 1,
            N_WARMUP_STEPS=self._learning_starts,
            STEP_LIMIT=1_000_000_000,
            REPLAY_BUFFER_CAP=1_000_000,
        )
        self._state = module.State(0)
        shapes = [[17, *hidden, 6], *[[23, *hidden, 1]] * 2]
        self.facts = {"connections": sum(a * b for sizes in shapes for a, b in pairwise(sizes))}
        self.tasks = {"step": lambda: self._steps(10)}

    def warm_up(self) -> None:
        self._steps(self._learning_starts + 200)

    def _steps(self, steps: int) -> int:
        for _ in range(steps):
            self._state.step()
        return steps


KINDS = {"rltools": RLtools}
