"""How many updates a second every agent does at the sizes of HalfCheetah, and where the time goes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rewirl import _core
from rewirl.bench import machine, phases
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, spread
from rewirl.bench.machine import table
from rewirl.bench.serve import Task
from rewirl.bench.synthetic import (
    HIDDEN_SIZES,
    agent_of,
    connections_of,
    is_dense,
    random_transitions,
    refuse_agents,
    replay_of,
    settings,
)
from rewirl.topology.structure import UNSTRUCTURED, structure_of

TRANSITIONS = 100_000
WARM_UP = 1200
"""Updates before the first slice: past the first rewiring event, from which on targets differ in topology."""

SMALL_PHASE = 0.005
"""Native calls with less than this share of an update are put together."""


@dataclass(frozen=True)
class Options:
    """Which agents are timed, and for how long."""

    agents: tuple[str, ...] = ("td3", "static-td3", "ds-td3", "sac", "static-sac", "ds-sac")
    """Agents to time. A dense one is timed once, any other with every one of the sparsities."""

    sparsities: tuple[float, ...] = (0.51, 0.8, 0.9, 0.95)
    """Shares of absent connections; 0.51 is the paper's HalfCheetah setting, lambdas 7 64."""

    structures: tuple[str, ...] = ("unstructured",)
    """Structures of the connections of agents that are not dense, as of `rewirl train`. Typical: unstructured 8x1."""

    threads: tuple[int, ...] = (1, 2)
    """Thread counts to time every agent with. Typical: 1 2."""

    batch_size: int = 100
    """Samples per update. Typical: 100 to 256."""

    rounds: int = 15
    """How often every agent gets its turn. Typical: 10 to 30."""

    seconds: float = 0.7
    """Length of a turn, and of the profiled stretch. Typical: 0.5 to 1."""

    def __post_init__(self) -> None:
        """Validate."""
        refuse_agents(self.agents)
        if not all(0 < sparsity < 1 for sparsity in self.sparsities):
            raise ValueError(f"sparsities must lie between 0 and 1, got {self.sparsities}; dense agents are agents")
        for structure in self.structures:
            structure_of(structure)
        if not self.threads or min(self.batch_size, self.rounds, *self.threads) < 1 or self.seconds <= 0:
            raise ValueError("batch_size, rounds and threads must be at least 1, seconds more than 0")
        if not candidates_of(self):
            raise ValueError(f"{', '.join(self.agents)} need at least one of sparsities and of structures")


class Updates:
    """One agent whose updates, and actions with exploration noise for one observation, are timed.

    Args:
        specification: `agent`, `sparsity` (missing: the agent's own), `structure` (missing: unstructured),
            `hidden_sizes` (missing: 256 256), `batch_size`, `threads`, and the core's `instruction_set` (missing: the
            best there is).
    """

    packages = ("rewirl", "numpy")

    def __init__(self, specification: dict[str, Any]) -> None:
        if "instruction_set" in specification:
            _core.use_instruction_set(specification["instruction_set"])
        name, sparsity = specification["agent"], specification.get("sparsity")
        hidden_sizes = tuple(specification.get("hidden_sizes", HIDDEN_SIZES))
        others = {key: specification[key] for key in ("batch_size", "structure") if key in specification}
        config = settings(name, sparsity, hidden_sizes=hidden_sizes, **others)
        agent = agent_of(name, config, specification["threads"])
        transitions = random_transitions(TRANSITIONS)
        replay, observation = replay_of(transitions), transitions.observations[0]

        def update() -> int:
            for _ in range(10):  # even, so that every second update's actor step has its share
                agent.update(replay)
            return 10

        def explore() -> int:
            for _ in range(10):
                agent.explore(observation)
            return 10

        self._update = update
        self.tasks: dict[str, Task] = {"update": update, "explore": explore}
        self.reports = {"phases": lambda seconds: phases.profile(update, seconds)}
        self.facts = {"connections": connections_of(agent)}

    def warm_up(self) -> None:
        """Update until the agent has been rewired."""
        for _ in range(WARM_UP // 10):
            self._update()


KINDS = {"rewirl": Updates}


def candidates_of(options: Options) -> list[Candidate]:
    """Return every agent that takes part, not yet started."""
    candidates = []
    for threads in options.threads:
        for agent in options.agents:
            common = {"kind": "rewirl", "agent": agent, "batch_size": options.batch_size, "threads": threads}
            if is_dense(agent):
                candidates.append(Candidate(agent, common, Path(__file__)))
                continue
            for structure, sparsity in itertools.product(options.structures, options.sparsities):
                in_blocks = {} if structure == UNSTRUCTURED else {"structure": structure}
                own = {**common, "sparsity": sparsity, **in_blocks}
                candidates.append(Candidate(" ".join([agent, *in_blocks.values()]), own, Path(__file__)))
    return candidates


def run(options: Options) -> dict[str, Any]:
    """Time everything.

    Returns:
        JSON values: `agents` with the rates of every round and the seconds per update of each phase, machine, versions
        and the options.
    """
    candidates = candidates_of(options)
    reports = measure(candidates, options.rounds, options.seconds, shares={"explore": 0.25}, report="phases")
    return {
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": machine.describe(),
        "versions": merged_versions(candidates),
        "agents": [
            {
                "name": row.name,
                "sparsity": row.sparsity,
                "threads": row.threads,
                "connections": row.connections,
                "rates": row.rates,
                "phases": report,
            }
            for row, report in zip(candidates, reports, strict=True)
        ],
    }


def markdown(result: dict[str, Any]) -> str:
    """Return what `run` found as Markdown."""
    rows = result["agents"]
    names = sorted({name for row in rows for name in row["phases"] if name != phases.REST and not _small(rows, name)})
    names.sort(key=lambda name: -max(row["phases"].get(name, 0.0) for row in rows))
    return "\n\n".join(
        [
            f"## Updates, batch {result['batch_size']}",
            table(
                ["agent", "sparse", "threads", "connections", "x first row", "updates/s", "spread", "actions/s"],
                [
                    [
                        *_who(row),
                        f"{row['connections']:,}",
                        f"{ratio(row['rates']['update'], rows[0]['rates']['update']):.2f}",
                        f"{median(row['rates']['update']):,.0f}",
                        f"{spread(row['rates']['update']):.0%}",
                        f"{median(row['rates']['explore']):,.0f}",
                    ]
                    for row in rows
                ],
            ),
            "## Where an update's time goes, in microseconds",
            table(
                ["agent", "sparse", "threads", "update", *(f"`{n}`" for n in names), "other native calls", phases.REST],
                [[*_who(row), *_microseconds(row["phases"], names)] for row in rows],
            ),
            f"Medians of {result['rounds']} interleaved rounds of {result['seconds']:g} s. The second table is from a "
            "stretch of its own, in which every native call is timed; that costs it a little.",
            machine.markdown(result["machine"], result["versions"]),
        ]
    )


def _who(row: dict[str, Any]) -> list[str]:
    return [row["name"], "" if row["sparsity"] is None else f"{row['sparsity']:.0%}", str(row["threads"])]


def _microseconds(seconds: dict[str, float], names: list[str]) -> list[str]:
    total, rest = sum(seconds.values()), seconds[phases.REST]
    named = [seconds.get(name, 0.0) for name in names]
    return [f"{1e6 * each:,.0f}" for each in (total, *named, total - rest - sum(named), rest)]


def _small(rows: list[dict[str, Any]], name: str) -> bool:
    return all(row["phases"].get(name, 0.0) < SMALL_PHASE * sum(row["phases"].values()) for row in rows)
