"""How many updates a second SimBa, XQC and CrossQ do, dense and sparse, compared with SBX's SimBa and CrossQ.

Networks, batch and sizes are the papers'; so are threads, as cores. Sparse topologies are static, so that no rewiring
falls into a slice. Each candidate has a process of its own; those of an agent, task and number of threads are timed in
turn, slice by slice.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import environments
import tyro
from peers import cores, refuse

from rewirl.bench import machine
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, say, spread
from rewirl.bench.machine import table

CANDIDATES = Path(__file__).parent / "candidates"

TASKS = {"Humanoid-v5": (348, 17), "dog-run": (223, 38)}
"""Features of observations and actions."""

NETWORKS: dict[str, dict[str, Any]] = {
    "simba": {"hidden_sizes": (512, 512), "actor_hidden_sizes": (128,)},
    "xqc": {"hidden_sizes": (512,) * 4, "actor_hidden_sizes": (256,) * 4},
    "crossq": {"hidden_sizes": (2048, 2048), "actor_hidden_sizes": (256, 256)},
}
"""The papers'; SimBa has one critic on the DeepMind Control Suite."""

OF_SBX = ("simba", "crossq")


@dataclass(frozen=True)
class Options:
    """Install SBX, or time updates and print Markdown tables."""

    install: Path | None = None
    """Make a virtual environment for SBX in this folder, by pip, and stop there; as `peers.py --install`."""

    environments: Path | None = None
    """The folder that --install filled; without it only Rewirl takes part."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Tasks whose sizes count: Humanoid-v5, dog-run."""

    agents: tuple[str, ...] = tuple(NETWORKS)
    """Agents to time: simba, xqc, crossq. SBX has no XQC."""

    sparsities: tuple[float, ...] = (0.8, 0.9, 0.95, 0.97)
    """Sparsities to time Rewirl's agents with; dense is always timed."""

    structures: tuple[str, ...] = ("unstructured", "8x1")
    """Structures of the connections, as of `rewirl train`."""

    threads: tuple[int, ...] = (1, 2)
    """Thread counts; every candidate is timed with each, on as many cores."""

    batch_size: int = 256
    """Samples per update."""

    rounds: int = 7
    """How many turns each candidate gets. Typical: 5 to 30."""

    seconds: float = 3.0
    """Length of a turn. A dense update takes up to a third of a second. Typical: 2 to 5."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        for name, values, known in (("tasks", self.tasks, list(TASKS)), ("agents", self.agents, list(NETWORKS))):
            unknown = [value for value in values if value not in known]
            if unknown or not values:
                raise SystemExit(f"--{name} has {', '.join(unknown) or 'nothing'}; there are {', '.join(known)}")
        if not self.threads or min(self.batch_size, self.rounds, *self.threads) < 1 or self.seconds <= 0:
            raise SystemExit("--batch-size, --rounds and --threads must be at least 1, --seconds more than 0")
        refuse(self.sparsities, self.environments, self.json)


def candidates_of(options: Options, task: str, agent: str, threads: int) -> list[Candidate]:
    """Return the candidates that are timed together, not yet started: SBX's, ours dense, ours sparse."""
    networks = {**NETWORKS[agent], **({"n_critics": 1} if (agent, task) == ("simba", "dog-run") else {})}
    common = {
        "task": task,
        "sizes": TASKS[task],
        "batch_size": options.batch_size,
        "threads": threads,
        "cores": cores(threads),
    }
    candidates = []
    if agent in OF_SBX and options.environments and not environments.missing(options.environments, ["sbx"]):
        python = str(environments.python_of(options.environments, "sbx").absolute())
        specification = {"kind": "sbx", "agent": agent, "options": networks, **common}
        candidates.append(Candidate(f"SBX {agent}", specification, CANDIDATES / "sbx_updates.py", python))
    ours = {"kind": "rewirl", **common}
    script = CANDIDATES / "rewirl_updates.py"
    candidates.append(Candidate(f"Rewirl {agent}", {**ours, "agent": agent, "options": networks}, script))
    for structure in options.structures:
        for sparsity in options.sparsities:
            sparse = {"agent": f"static-{agent}", "sparsity": sparsity, "options": {**networks, "structure": structure}}
            candidates.append(Candidate(f"Rewirl static-{agent}, {structure}", {**ours, **sparse}, script))
    return candidates


def markdown(rows: list[Candidate], options: Options) -> str:
    """Return the table of candidates that were timed together."""
    (task,), (agent,) = {row.specification["task"] for row in rows}, {row.name.partition(" ")[2] for row in rows[:1]}
    dense = next(row for row in rows if row.specification["kind"] == "rewirl")
    peer = next((row for row in rows if row.specification["kind"] == "sbx"), None)
    cells = []
    for row in rows:
        rates = row.rates["update"]
        cells.append(
            [
                row.name,
                "" if row.sparsity is None else f"{row.sparsity:.0%}",
                f"{row.connections:,}",
                *([] if peer is None else [f"{ratio(rates, peer.rates['update']):.2f}"]),
                f"{ratio(dense.rates['update'], rates):.2f}",
                f"{median(rates):.1f}",
                f"{row.facts['flops'] * median(rates) / 1e9:.0f}" if "flops" in row.facts else "",
                f"{1e6 / median(rates) / 3600:.1f}",
                f"{spread(rates):.0%}",
            ]
        )
    head = ["agent", "sparse", "connections", *([] if peer is None else [f"x {peer.name}"]), "time / dense"]
    head += ["updates/s", "GFLOP/s", "hours for a million updates", "spread"]
    counted = "1 thread" if dense.threads == 1 else f"{dense.threads} threads"
    return f"## {agent}, {task}, batch {options.batch_size}, {counted}\n\n{table(head, cells)}"


def main(options: Options) -> None:
    if options.install:
        environments.install(options.install, ["sbx"])
        print(f"now: python {sys.argv[0]} --environments {options.install}")
        return
    if options.environments is None or environments.missing(options.environments, ["sbx"]):
        say("SBX does not take part; --install DIR, then --environments DIR")
    all_rows: list[Candidate] = []
    for task in options.tasks:
        for agent in options.agents:
            for threads in options.threads:
                rows = candidates_of(options, task, agent, threads)
                measure(rows, options.rounds, options.seconds)
                print(markdown(rows, options), end="\n\n", flush=True)
                all_rows += rows
    print(
        f"x = times as fast, time / dense = share of our dense update's time; medians over {options.rounds} "
        f"interleaved rounds of {options.seconds:g} s. GFLOP/s = two for every connection and sample, forward and "
        "twice that backward, of the networks that learn; passes through targets are not counted.\n"
    )
    print(machine.markdown(machine.describe(), merged_versions(all_rows)))
    if options.json:
        measured = [
            {"name": row.name, **row.specification, "facts": row.facts, "rates": row.rates, "versions": row.versions}
            for row in all_rows
        ]
        result = {"seconds": options.seconds, "machine": machine.describe(), "contestants": measured}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
