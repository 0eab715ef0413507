"""Rewirl's agents, environment steps with an update each."""

from __future__ import annotations

from typing import Any

import rewirl
from rewirl.agents import agent_entry
from rewirl.bench.synthetic import PAPER_LAMBDAS
from rewirl.bench.updates import WARM_UP

STEPS = 500
"""Steps of a call to `learn`, whose own set-up is then a small share."""


class RewirlSteps:
    packages = ("rewirl", "numpy", "gymnasium", "mujoco")

    def __init__(self, specification: dict[str, Any]) -> None:
        sparsity = specification.get("sparsity")
        lambdas = PAPER_LAMBDAS.get(sparsity)
        topology = {} if sparsity is None else {"lambdas": lambdas} if lambdas else {"sparsity": sparsity}
        self._learning_starts = specification["learning_starts"]
        entry = agent_entry(specification["agent"])
        self._agent = getattr(rewirl, entry.python)(
            "HalfCheetah-v5",
            seed=0,
            threads=specification["threads"],
            batch_size=specification["batch_size"],
            hidden_sizes=specification["hidden_sizes"],
            learning_starts=self._learning_starts,
            **topology,
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
