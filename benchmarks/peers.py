"""How many environment steps a second Rewirl and its peers make on HalfCheetah-v5 once learning has started.

Same task, same batch, same nets, same number of threads, an update in every step, no evaluation. Each candidate has a
process and a Python of its own; they are timed in turn, slice by slice. README.md tells how to read the table.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import environments
import tyro

from rewirl.bench import machine
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, say, spread
from rewirl.bench.machine import table

CANDIDATES = Path(__file__).parent / "candidates"

PEERS = {"sb3": "Stable-Baselines3 TD3", "sbx": "SBX TD3", "rltools": "RLtools TD3"}
"""Peers by the name of their environment and of their candidate."""


def refuse(sparsities: Sequence[float], environments: Path | None, file: Path | None) -> None:
    """End with what is wrong with sparsities, the folder of other code's environments or the file for results."""
    if not all(0 < sparsity < 1 for sparsity in sparsities):
        raise SystemExit(f"--sparsities must lie between 0 and 1, got {sparsities}; dense is always timed")
    if environments and not environments.is_dir():
        raise SystemExit(f"there is no folder {environments}; --install {environments} makes it")
    if file and not file.parent.is_dir():
        raise SystemExit(f"--json {file}: there is no folder {file.parent}")


@dataclass(frozen=True)
class Options:
    """Install peers, or time environment steps with an update each and print a Markdown table of ratios."""

    install: Path | None = None
    """Make a virtual environment for every peer in this folder, by pip, and stop there: DIR/sb3, DIR/sbx, DIR/rltools.
    What is there already is left alone. RLtools needs a C++ compiler."""

    environments: Path | None = None
    """The folder that --install filled. Peers that are not there do not take part; without it only Rewirl does."""

    peers: tuple[str, ...] = tuple(PEERS)
    """Who takes part, or is installed: sb3, sbx, rltools."""

    batch_size: int = 100
    """Samples per update, for every candidate. Typical: 100 or 256."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of the hidden layers of actors and critics; all the same for RLtools."""

    threads: tuple[int, ...] = (1, 2)
    """Thread counts; every candidate is timed with each, on as many cores. Typical: 1 2."""

    sparsities: tuple[float, ...] = (0.51, 0.8, 0.9, 0.95)
    """Sparsities to time DS-TD3 with; 0.51 is the paper's HalfCheetah setting, lambdas 7 64."""

    structures: tuple[str, ...] = ("unstructured", "8x1")
    """Structures of DS-TD3's connections, as of `rewirl train`: blocks of so many outputs that share an input."""

    learning_starts: int = 10_000
    """Steps with random actions before the first update; they are not timed."""

    rounds: int = 9
    """How many turns each candidate gets. Typical: 5 to 30."""

    seconds: float = 3.0
    """Length of a turn. Typical: 2 to 5."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        unknown = [peer for peer in self.peers if peer not in PEERS]
        if unknown:
            raise SystemExit(f"--peers has {', '.join(unknown)}; there are {', '.join(PEERS)}")
        if not self.threads or min(self.batch_size, self.rounds, self.learning_starts, *self.threads) < 1:
            raise SystemExit("--batch-size, --rounds, --learning-starts and --threads must be at least 1")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1 or self.seconds <= 0:
            raise SystemExit("--hidden-sizes must be at least 1, --seconds more than 0")
        refuse(self.sparsities, self.environments, self.json)


def candidates_of(options: Options) -> list[Candidate]:
    """Return all candidates, not yet started."""
    candidates = []
    for threads in options.threads:
        common = {
            "threads": threads,
            "cores": cores(threads),
            "batch_size": options.batch_size,
            "hidden_sizes": options.hidden_sizes,
            "learning_starts": options.learning_starts,
        }
        if options.environments:
            absent = environments.missing(options.environments, list(options.peers))
            for peer in [peer for peer in options.peers if peer not in absent]:
                python = str(environments.python_of(options.environments, peer).absolute())
                specification = {"kind": peer, "environment": str(options.environments.absolute() / peer), **common}
                candidates.append(Candidate(PEERS[peer], specification, CANDIDATES / f"{peer}.py", python))
        rewirl, script = {"kind": "rewirl", **common}, CANDIDATES / "rewirl_steps.py"
        candidates.append(Candidate("Rewirl TD3", {**rewirl, "agent": "td3"}, script))
        for structure in options.structures:
            for sparsity in options.sparsities:
                sparse = {**rewirl, "agent": "ds-td3", "sparsity": sparsity, "structure": structure}
                name = "Rewirl DS-TD3" + (f" {structure}" if structure != "unstructured" else "")
                candidates.append(Candidate(name, sparse, script))
    return candidates


def cores(threads: int) -> list[int]:
    """Return the cores that so many threads may use; empty where the system cannot hold a process to cores."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[: min(threads, len(allowed))]


def markdown(candidates: list[Candidate], options: Options) -> str:
    """Return the Markdown that the command prints."""
    against = [name for name in (*PEERS.values(), "Rewirl TD3") if any(row.name == name for row in candidates)]
    rows = []
    for row in candidates:
        rates = row.rates["step"]
        same = {other.name: other for other in candidates if other.threads == row.threads}
        rows.append(
            [
                row.name,
                "" if row.sparsity is None else f"{row.sparsity:.0%}",
                str(row.threads),
                f"{row.connections:,}",
                *(f"{ratio(rates, same[name].rates['step']):.2f}" for name in against),
                f"{median(rates):,.0f}",
                f"{spread(rates):.0%}",
            ]
        )
    sizes = "-".join(map(str, options.hidden_sizes))
    return "\n\n".join(
        [
            f"## HalfCheetah-v5, hidden layers {sizes}, batch {options.batch_size}",
            table(
                ["agent", "sparse", "threads", "connections", *(f"x {name}" for name in against), "steps/s", "spread"],
                rows,
            ),
            f"Environment steps with an update each. x = times as fast with as many threads, median over "
            f"{options.rounds} interleaved rounds of {options.seconds:g} s.",
            machine.markdown(machine.describe(), merged_versions(candidates)),
        ]
    )


def record(candidates: list[Candidate], options: Options) -> dict[str, Any]:
    """Return everything measured as JSON values."""
    return {
        "batch_size": options.batch_size,
        "hidden_sizes": list(options.hidden_sizes),
        "seconds": options.seconds,
        "machine": machine.describe(),
        "versions": merged_versions(candidates),
        "contestants": [
            {
                "name": row.name,
                "sparsity": row.sparsity,
                "threads": row.threads,
                "connections": row.connections,
                "versions": row.versions,
                "rates": row.rates,
            }
            for row in candidates
        ],
    }


def main(options: Options) -> None:
    if options.install:
        environments.install(options.install, list(options.peers))
        print(f"now: python {sys.argv[0]} --environments {options.install}")
        return
    if options.environments is None:
        say("no --environments DIR: only Rewirl takes part; --install DIR makes them")
    else:
        for peer in environments.missing(options.environments, list(options.peers)):
            say(f"{peer} is not in {options.environments}; --install {options.environments} puts it there")
    candidates = candidates_of(options)
    measure(candidates, options.rounds, options.seconds)
    print(markdown(candidates, options))
    if options.json:
        options.json.write_text(json.dumps(record(candidates, options), indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
