"""How many updates a second this machine does with TD3 networks by sparsity, in about 20 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from rewirl.bench import machine
from rewirl.bench.interleaved import ratio
from rewirl.bench.machine import table
from rewirl.bench.serve import versions
from rewirl.bench.synthetic import agent_of, connections_of, random_transitions, replay_of, settings
from rewirl.printing import result as show

TRANSITIONS = 20_000
WARM_UP = 20
"""Updates of each agent before the first that counts."""

ROUNDS = 3
AGENTS: tuple[tuple[str, float | None], ...] = (
    ("td3", None),
    ("ds-td3", 0.51),
    ("ds-td3", 0.8),
    ("ds-td3", 0.9),
    ("ds-td3", 0.95),
)
"""The agents and their shares of absent connections."""


@dataclass(frozen=True)
class Options:
    """How long it takes."""

    seconds: float = 16.0
    """Time of all measurements together. Typical: 10 to 60."""

    batch_size: int = 256
    """Samples per update. Typical: 100 to 256."""

    threads: int = 1
    """Threads of an agent. Typical: 1 or 2."""

    def __post_init__(self) -> None:
        """Validate."""
        if not self.seconds > 0 or min(self.batch_size, self.threads) < 1:
            raise ValueError("seconds must be more than 0, batch_size and threads at least 1")


def run(options: Options, tell: Callable[[str], None] = show) -> dict[str, Any]:
    """Time the agents in turns, so that a busy moment hits them alike.

    Args:
        options: how long it takes.
        tell: is given a line for every agent as soon as all its turns are over.

    Returns:
        JSON values: `agents` with the updates per second of every round, machine, versions and options.
    """
    replay = replay_of(random_transitions(TRANSITIONS))
    agents = []
    for name, sparsity in AGENTS:
        agent = agent_of(name, settings(name, sparsity, batch_size=options.batch_size), options.threads)
        for _ in range(WARM_UP):
            agent.update(replay)
        agents.append(agent)
    turn = options.seconds / (ROUNDS * len(AGENTS))
    rates: list[list[float]] = [[] for _ in AGENTS]
    for round_ in range(ROUNDS):
        for agent, own, (name, sparsity) in zip(agents, rates, AGENTS, strict=True):
            began, updates = time.perf_counter(), 0
            while (passed := time.perf_counter() - began) < turn or not updates:
                agent.update(replay)
                agent.update(replay)  # the actor learns with every second one
                updates += 2
            own.append(updates / passed)
            if round_ == ROUNDS - 1:
                tell(f"{name}{_sparse(sparsity)}: {median(own):,.0f} updates/s")
    rows = [
        {"name": name, "sparsity": sparsity, "connections": connections_of(agent), "rates": own}
        for (name, sparsity), agent, own in zip(AGENTS, agents, rates, strict=True)
    ]
    for agent in agents:
        agent.close()
    return {
        "batch_size": options.batch_size,
        "threads": options.threads,
        "seconds": options.seconds,
        "machine": machine.describe(),
        "versions": versions("rewirl", "numpy"),
        "agents": rows,
    }


def markdown(result: dict[str, Any]) -> str:
    """Return what `run` measured as Markdown."""
    rows = result["agents"]
    cells = [
        [
            f"{row['name']}{_sparse(row['sparsity'])}",
            f"{row['connections']:,}",
            f"{median(row['rates']):,.0f}",
            f"{ratio(row['rates'], rows[0]['rates']):.2f}",
        ]
        for row in rows
    ]
    threads = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    return "\n\n".join(
        [
            f"\n## Updates of 256-256 networks, batch {result['batch_size']}, {threads}",
            table(["agent", "connections", "updates/s", "x dense"], cells),
            f"Medians of {ROUNDS} turns on {result['machine']['cpu']}. `rewirl bench updates` measures with more care.",
        ]
    )


def _sparse(sparsity: float | None) -> str:
    return ", dense" if sparsity is None else f", {sparsity:.0%} sparse"
