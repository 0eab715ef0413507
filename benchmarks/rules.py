"""What rewiring costs: the share of the training that events take, by rule, and the speed of a pruned agent.

Every agent lives in a process of its own; they are timed in turn, slice by slice. README.md tells how to read the
table.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

import tyro

from rewirl.bench import machine
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, spread
from rewirl.bench.machine import table
from rewirl.bench.synthetic import HIDDEN_SIZES, agent_of, connections_of, random_transitions, replay_of, settings

AGENT = "ds-td3"
EVERY = 1000
"""Updates from one event to the next, the paper's."""

RULES: dict[str, dict[str, Any]] = {
    "static": {"rule": "static"},
    "SET": {},
    "RigL": {"rule": "rigl"},
    "RigL, constant fan-in": {"rule": "rigl", "structure": "constant-fan-in"},
    "SET, drop by sensitivity": {"drop": "sensitivity"},
    "pruned from dense": {"rule": "prune", "initial_sparsity": 0.0, "sparsity_end": EVERY},
}
"""Topology settings by name, beside the paper's for HalfCheetah."""

EVENT = 3
"""Updates that an event may slow down: its own, and those until the target networks have followed."""


@dataclass(frozen=True)
class Options:
    """Time updates of DS-TD3 with every rule, their events included."""

    sparsity: float = 0.9
    """Share of absent connections."""

    batch_size: int = 100
    """Samples per update. Typical: 100 to 256."""

    threads: int = 1
    """Threads that each candidate may use. Typical: 1 or 2."""

    rounds: int = 9
    """How many turns each candidate gets. Typical: 7 to 15."""

    seconds: float = 3.0
    """Length of a turn, which should see a few events. Typical: 3."""

    settle: int = 40_000
    """Updates from pruning until a pruned agent is timed. Connections that only its target networks still have shrink
    by tau at every update of theirs, and are given back once they are zero, after 35,000 updates at the paper's tau."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.rounds, self.threads, self.settle + 1) < 1 or self.seconds <= 0:
            raise SystemExit(
                "--batch-size, --rounds and --threads must be at least 1, --settle 0 or more, --seconds above 0"
            )
        if not 0 < self.sparsity < 1:
            raise SystemExit(f"--sparsity must lie between 0 and 1, got {self.sparsity}")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


class Rewired:
    """An agent with one of the rules, every update of which is timed.

    Args:
        specification: `topology`, the settings that the rule consists of, `sparsity`, `batch_size`, `threads`, and
            `settle`, the updates after the first event that are not timed.
    """

    packages = ("rewirl", "numpy")

    def __init__(self, specification: dict[str, Any]) -> None:
        batch_size = specification["batch_size"]
        config = settings(AGENT, specification["sparsity"], hidden_sizes=HIDDEN_SIZES, batch_size=batch_size)
        topology = dataclasses.replace(config.topology, **specification["topology"])
        agent = agent_of(AGENT, dataclasses.replace(config, topology=topology), specification["threads"])
        replay = replay_of(random_transitions(100_000))
        times: list[float] = []

        def update() -> int:
            for _ in range(10):
                begin = perf_counter()
                agent.update(replay)
                times.append(perf_counter() - begin)
            return 10

        self._update, self._first = update, EVERY + EVENT + specification["settle"]
        self.tasks = {"update": update}
        self.reports = {"events": lambda seconds: share_of_events(times, self._first)}
        self.facts: dict[str, Any] = {}
        self._agent = agent

    def warm_up(self) -> None:
        """Update until the first event is over, with which pruning ends, and the targets have followed."""
        for _ in range(self._first // 10 + 1):
            self._update()
        self.facts["connections"] = connections_of(self._agent)


KINDS = {"rewired": Rewired}


def share_of_events(times: list[float], begin: int) -> float:
    """Return the share of the time from an update on that events take beyond what updates take anyway.

    Args:
        times: of all updates, in seconds.
        begin: how many of them are left out.
    """
    of_events: list[float] = []
    others: list[float] = []
    for update, seconds in enumerate(times[begin:], begin + 1):
        (of_events if update % EVERY < EVENT else others).append(seconds)
    usual = fmean(others)
    return sum(seconds - usual for seconds in of_events) / (sum(of_events) + sum(others))


def report(rows: list[Candidate], shares: list[float], options: Options) -> str:
    """Return the Markdown that the command prints."""
    cells = [
        [
            row.name,
            f"{row.connections:,}",
            f"{share:.1%}",
            f"{ratio(row.rates['update'], rows[0].rates['update']):.2f}",
            f"{median(row.rates['update']):,.0f}",
            f"{spread(row.rates['update']):.0%}",
        ]
        for row, share in zip(rows, shares, strict=True)
    ]
    return "\n\n".join(
        [
            f"## Rules, {options.sparsity:.0%} sparse, batch {options.batch_size}, {options.threads} thread(s)",
            table(["rule", "connections", "time of events", "x static", "updates/s", "spread"], cells),
            f"Medians of {options.rounds} interleaved rounds of {options.seconds:g} s, events included.",
            machine.markdown(machine.describe(), merged_versions(rows)),
        ]
    )


def main(options: Options) -> None:
    common = {
        "kind": "rewired", "sparsity": options.sparsity, "batch_size": options.batch_size, "threads": options.threads
    }  # fmt: skip
    rows = [
        Candidate(
            name,
            {**common, "topology": rule, "settle": options.settle if rule.get("rule") == "prune" else 0},
            Path(__file__),
        )
        for name, rule in RULES.items()
    ]
    shares = measure(rows, options.rounds, options.seconds, report="events")
    print(report(rows, shares, options))
    if options.json:
        measured = [
            {"name": row.name, **row.specification, "facts": row.facts, "time of events": share, "rates": row.rates}
            for row, share in zip(rows, shares, strict=True)
        ]
        described = {"machine": machine.describe(), "versions": merged_versions(rows), "contestants": measured}
        options.json.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
