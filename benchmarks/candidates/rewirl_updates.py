"""Rewirl's SimBa, XQC and CrossQ: whole updates at any sizes."""

from __future__ import annotations

from typing import Any

from rewirl.agents import make_agent
from rewirl.bench.synthetic import random_transitions, replay_of, settings

TRANSITIONS = 5_000
UPDATES = 6
"""Of a call: even, and a multiple of the actors' delays."""


class RewirlUpdates:
    packages = ("rewirl", "numpy")

    def __init__(self, specification: dict[str, Any]) -> None:
        name = specification["agent"]
        options = {"batch_size": specification["batch_size"], **specification["options"]}
        config = settings(name, specification.get("sparsity"), **options)
        sizes = specification["sizes"]
        agent = make_agent(name, config, *sizes, seed=0, threads=specification["threads"])
        transitions = random_transitions(TRANSITIONS, *sizes)
        for observation, reward in zip(transitions.observations, transitions.rewards, strict=True):
            agent.normalisation.observe(observation)
            agent.normalisation.reward(float(reward), False)
        replay = replay_of(transitions)

        def update() -> int:
            for _ in range(UPDATES):
                agent.update(replay)
            return UPDATES

        self.tasks = {"update": update}
        cost = agent.COST.of(vars(agent.config))
        connections = {name: [network.connections] for name, network in agent.networks().items()}
        flops = cost.training_flops(connections, UPDATES, vars(agent.config)) / UPDATES
        self.facts = {"connections": cost.parameters(connections), "flops": flops}

    def warm_up(self) -> None:
        self.tasks["update"]()


KINDS = {"rewirl": RewirlUpdates}
