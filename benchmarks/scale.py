"""How an update's time grows with width at a number of connections, and with connections at a width.

Every network lives in a process of its own; they are timed in turn, slice by slice. README.md tells how to read the
tables.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tyro

from rewirl.bench import machine, updates
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, spread
from rewirl.bench.machine import table
from rewirl.bench.synthetic import ACTION_SIZE, OBSERVATION_SIZE


@dataclass(frozen=True)
class Options:
    """Time updates of DS-TD3 with two hidden layers of many widths, beside TD3 with dense layers of 256."""

    widths: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    """Widths to time at the number of connections of 256 units at 51% sparsity."""

    width: int = 1024
    """Width to time at several sparsities."""

    sparsities: tuple[float, ...] = (0.9, 0.94, 0.97, 0.99)
    """Sparsities to time this width at."""

    structures: tuple[str, ...] = ("unstructured", "8x1")
    """Structures of the connections, as of `rewirl train`: blocks of so many outputs that share an input."""

    batch_size: int = 100
    """Samples per update. Typical: 100 to 256."""

    threads: int = 1
    """Threads that each candidate may use. Typical: 1 or 2."""

    rounds: int = 11
    """How many turns each candidate gets. Typical: 10 to 30."""

    seconds: float = 0.5
    """Length of a turn. Typical: 0.5 to 1."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.rounds, self.threads, self.width, *self.widths) < 1 or self.seconds <= 0:
            raise SystemExit("--widths, --batch-size, --rounds and --threads must be at least 1, --seconds above 0")
        if not all(0 < sparsity < 1 for sparsity in self.sparsities):
            raise SystemExit(f"--sparsities must lie between 0 and 1, got {self.sparsities}; dense is always timed")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


def places(width: int) -> int:
    """Return the places of actor and both critics with two hidden layers of this width."""
    actor = OBSERVATION_SIZE * width + width * width + width * ACTION_SIZE
    critic = (OBSERVATION_SIZE + ACTION_SIZE) * width + width * width + width
    return actor + 2 * critic


def candidates_of(options: Options) -> list[Candidate]:
    """Return all candidates, not yet started: dense, the paper's sparsity, then the others."""

    def one(agent: str, width: int, sparsity: float | None, structure: str = "unstructured") -> Candidate:
        specification: dict[str, Any] = {
            "kind": "rewirl", "agent": agent, "hidden_sizes": [width, width], "threads": options.threads,
            "batch_size": options.batch_size,
        }  # fmt: skip
        if sparsity is not None:
            specification["sparsity"] = round(sparsity, 6)
        name = f"{agent}, {width} wide"
        if structure != "unstructured":
            specification["structure"] = structure
            name += f", {structure}"
        return Candidate(name, specification, Path(updates.__file__))

    fixed = 0.49 * places(256)
    sizes = [(256, 0.51)]
    sizes += [(width, 1 - fixed / places(width)) for width in options.widths if width != 256]
    sizes += [(options.width, sparsity) for sparsity in options.sparsities]
    return [one("td3", 256, None)] + [
        one("ds-td3", width, sparsity, structure) for structure in options.structures for width, sparsity in sizes
    ]


def report(rows: list[Candidate], options: Options) -> str:
    """Return the Markdown that the command prints."""

    def microseconds(row: Candidate) -> float:
        return 1e6 / median(row.rates["update"])

    def time_by(row: Candidate, other: Candidate) -> str:
        return f"{ratio(other.rates['update'], row.rates['update']):.2f}"

    headings = [
        "network",
        "sparse",
        "connections",
        "time / dense 256",
        "time / 256 at 51%",
        "us",
        "ns/connection",
        "spread",
    ]
    cells = [
        [
            row.name,
            "" if row.sparsity is None else f"{row.sparsity:.2%}",
            f"{row.connections:,}",
            time_by(row, rows[0]),
            time_by(row, rows[1]),
            f"{microseconds(row):,.0f}",
            f"{1e3 * microseconds(row) / (row.connections or 1):.1f}",
            f"{spread(row.rates['update']):.0%}",
        ]
        for row in rows
    ]
    return "\n\n".join(
        [
            f"## Scale, batch {options.batch_size}, {options.threads} thread(s)",
            table(headings, cells),
            f"Times of whole updates: medians of {options.rounds} interleaved rounds of {options.seconds:g} s.",
            machine.markdown(machine.describe(), merged_versions(rows)),
        ]
    )


def main(options: Options) -> None:
    rows = candidates_of(options)
    measure(rows, options.rounds, options.seconds, shares={"explore": 0.1})
    print(report(rows, options))
    if options.json:
        measured = [{"name": row.name, **row.specification, "facts": row.facts, "rates": row.rates} for row in rows]
        described = {"machine": machine.describe(), "versions": merged_versions(rows), "contestants": measured}
        options.json.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
