"""How fast two installed versions of Rewirl do the same updates, timed in turn: nothing may get slower by accident.

    python benchmarks/versions.py --other /path/to/older/bin/python

Each version runs in its own Python and is built by its own `rewirl.bench.updates`, so insides may differ.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tyro

from rewirl.bench import machine, updates
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, say, spread
from rewirl.bench.machine import table
from rewirl.bench.synthetic import is_dense, refuse_agents

WHERE = "import rewirl.bench.updates as updates; print(updates.__file__)"


@dataclass(frozen=True)
class Options:
    """Time updates of this version and another one, interleaved, and print a Markdown table of ratios."""

    other: Path
    """The Python that the other version is installed for."""

    batch_sizes: tuple[int, ...] = (100, 256)
    """Samples per update."""

    threads: tuple[int, ...] = (1,)
    """Thread counts."""

    sparsity: float = 0.51
    """Sparsity of the agents that are not dense; 0.51 is the paper's HalfCheetah setting, lambdas 7 64."""

    agents: tuple[str, ...] = updates.Options.agents
    """Which agents; the default are those that every version has."""

    starts: int = 5
    """How often every process is started anew: where its memory happens to lie is worth some 4%. Typical: 3 to 10."""

    rounds: int = 5
    """How often every candidate gets its turn per start. Typical: 3 to 10."""

    seconds: float = 0.5
    """Length of one slice."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        if shutil.which(self.other) is None:
            raise SystemExit(f"--other: there is no Python {self.other}")
        counts = (*self.batch_sizes, *self.threads, self.starts, self.rounds)
        if not self.batch_sizes or not self.threads or min(counts) < 1 or self.seconds <= 0:
            raise SystemExit(
                "--batch-sizes, --starts, --rounds and --threads must be at least 1, --seconds more than 0"
            )
        if not 0 < self.sparsity < 1:
            raise SystemExit(f"--sparsity must lie between 0 and 1, got {self.sparsity}")
        try:
            refuse_agents(self.agents)
        except ValueError as error:
            raise SystemExit(f"--{error}") from None
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


def candidates_of(python: Path, options: Options, batch_size: int) -> list[Candidate]:
    """Every agent in one version, not yet started."""
    found = subprocess.run([python, "-P", "-c", WHERE], capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{python} has no Rewirl with benchmarks: {found.stderr.strip().splitlines()[-1]}")
    script = Path(found.stdout.strip())
    return [
        Candidate(
            agent,
            {"kind": "rewirl", "agent": agent, "batch_size": batch_size, "threads": threads}
            | ({} if is_dense(agent) else {"sparsity": options.sparsity}),
            script,
            str(python),
        )
        for threads in options.threads
        for agent in options.agents
    ]


def compare(options: Options, batch_size: int) -> dict[str, Any]:
    """Time one batch size in both versions; returns JSON values."""
    rows: list[dict[str, Any]] = []
    for start in range(options.starts):
        say(f"start {start + 1}/{options.starts}")
        mine = candidates_of(Path(sys.executable), options, batch_size)
        others = candidates_of(options.other, options, batch_size)
        in_turn = [candidate for pair in zip(mine, others, strict=True) for candidate in pair]
        measure(in_turn, options.rounds, options.seconds, shares={"explore": 0.25})
        rows = rows or [{"agent": one.name, "threads": one.threads, "this": {}, "other": {}} for one in mine]
        for row, one, other in zip(rows, mine, others, strict=True):
            for rates, candidate in ((row["this"], one), (row["other"], other)):
                for task, measured in candidate.rates.items():
                    rates.setdefault(task, []).extend(measured)
    versions = {"this": merged_versions(mine), "other": merged_versions(others)}
    return {"batch_size": batch_size, "rows": rows, "machine": machine.describe(), "versions": versions}


def markdown(results: list[dict[str, Any]], options: Options) -> str:
    """The ratios as a table; above 1 this version is faster."""
    rows = []
    for result in results:
        for row in result["rows"]:
            update = row["this"]["update"], row["other"]["update"]
            explore = row["this"]["explore"], row["other"]["explore"]
            rows.append(
                [
                    row["agent"],
                    str(result["batch_size"]),
                    str(row["threads"]),
                    f"{ratio(*update):.3f}",
                    f"{median(update[0]):,.0f}",
                    f"{median(update[1]):,.0f}",
                    f"{max(map(spread, update)):.0%}",
                    f"{ratio(*explore):.3f}",
                ]
            )
    heads = ["agent", "batch", "threads", "this / other", "updates/s, this", "other", "spread", "acting, this / other"]
    versions = results[0]["versions"]
    return "\n\n".join(
        [
            f"## Updates of {versions['this'].get('rewirl')} (this) and {versions['other'].get('rewirl')} (other)",
            table(heads, rows),
            f"Medians of the ratios of {options.rounds} interleaved rounds of {options.seconds:g} s in each of "
            f"{options.starts} starts of every process. Agents that are not dense are {options.sparsity:.0%} sparse.",
            machine.markdown(results[0]["machine"], versions["this"]),
        ]
    )


def main(options: Options) -> None:
    results = [compare(options, batch_size) for batch_size in options.batch_sizes]
    print(markdown(results, options))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
        say(f"wrote {options.json}")


if __name__ == "__main__":
    main(tyro.cli(Options))
