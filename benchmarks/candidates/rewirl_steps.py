"""Rewirl's agents, environment steps with an update each."""

from __future__ import annotations

from typing import Any

import rewirl
from rewirl.agents import agent_entry
from rewirl.bench.synthetic import amount_of
from rewirl.bench.updates import WARM_UP

STEPS = 500
"""Steps of a call to `learn`, whose own set-up is then a small share."""


class RewirlSteps:
    packages = ("rewirl", "numpy", "gymnasium", "mujoco")

    def __init__(self, specification: dict[str, Any]) -> None:
        self._learning_starts = specification["learning_starts"]
        name, hidden_sizes = specification["agent"], specification["hidden_sizes"]
        entry = agent_entry(name)
        self._agent = getattr(rewirl, entry.python)(
            "HalfCheetah-v5",
            seed=0,
            threads=specification["threads"],
            batch_size=specification["batch_size"],
            hidden_sizes=hidden_sizes,
            learning_starts=self._learning_starts,
            **amount_of(name, specification.get("sparsity"), hidden_sizes),
            **({"structure": specification["structure"]} if "structure" in specification else {}),
        )
        layers = [layer for name in entry.networks for layer in self._agent.topology[name]]
        self.facts = {"connections": sum(layer.connections for layer in layers)}
        self.tasks = {"step": lambda: self._learn(STEPS)}

    def warm_up(self) -> None:
        self._learn(self._learning_starts + WARM_UP)

    def _learn(self, steps: int) -> int:
        self._agent.learn(steps)
        return steps


KINDS = {"rewirl": RewirlSteps}
