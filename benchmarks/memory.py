"""Peak memory of training very wide, very sparse agents, beside what float32 matrices of their sizes would take.

Every agent is built, updated and rewired in a fresh process; what counts is that process's peak resident memory above
that of a tiny agent which did the same. README.md tells how to read the table.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from rewirl.bench import machine
from rewirl.bench.serve import versions

TINY_WIDTH = 16
TINY_SPARSITY = 0.5
MIB = 2**20


@dataclass(frozen=True)
class Options:
    """Measure the peak memory of wide sparse agents and print a Markdown table."""

    width: int = 4096
    """Units in each of the two hidden layers of the actor and of both critics."""

    sparsities: tuple[float, ...] = (0.995, 0.99, 0.98)
    """Sparsities to measure, from few connections to many."""

    batch_size: int = 100
    """Samples per update."""

    json: Path | None = None
    """File for everything measured."""

    def __post_init__(self) -> None:
        if min(self.width, self.batch_size) < 1:
            raise SystemExit("--width and --batch-size must be at least 1")
        if not all(0 < sparsity < 1 for sparsity in self.sparsities):
            raise SystemExit(f"--sparsities must lie between 0 and 1, got {self.sparsities}")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


def measure(width: int, sparsity: float, batch_size: int) -> dict[str, Any]:
    """Train an agent in a fresh process and return its connections, matrix shapes and peak memory in bytes."""
    specification = json.dumps({"width": width, "sparsity": sparsity, "batch_size": batch_size})
    program = str(Path(__file__).with_name("memory_agent.py"))
    child = subprocess.run([sys.executable, program, specification], stdout=subprocess.PIPE, text=True)
    if child.returncode:
        raise SystemExit(f"the agent of width {width}, {sparsity:.1%} sparse failed; its error is above")
    measured: dict[str, Any] = json.loads(child.stdout)
    return {"width": width, "sparsity": sparsity} | measured


def dense_bytes(shapes: dict[str, list[tuple[int, int]]]) -> int:
    """Return the bytes of float32 weight matrices: value, gradient and two Adam moments, or a target's value alone.

    Args:
        shapes: (n_out, n_in) of every layer by the network's name; a target network's name starts with "target".
    """
    return sum(
        4 * math.prod(shape) * (1 if name.startswith("target") else 4)
        for name, layers in shapes.items()
        for shape in layers
    )


def table(agents: list[dict[str, Any]], tiny: dict[str, Any]) -> str:
    """Return the Markdown table of the agents, each beside the tiny one and beside the agent above it."""
    lines = [
        "| sparsity | connections | peak above tiny agent | bytes/connection | bytes/further connection "
        "| dense float32 matrices | share of dense |",
        "|---|" + "---:|" * 6,
    ]
    before: dict[str, Any] | None = None
    for agent in agents:
        above = agent["peak_bytes"] - tiny["peak_bytes"]
        further = ""
        if before is not None and agent["connections"] != before["connections"]:
            growth = agent["peak_bytes"] - before["peak_bytes"]
            further = f"{growth / (agent['connections'] - before['connections']):.0f}"
        dense = dense_bytes(agent["shapes"])
        lines.append(
            f"| {agent['sparsity']:.1%} | {agent['connections']:,} | {above / MIB:.1f} MiB "
            f"| {above / agent['connections']:.0f} | {further} | {dense / MIB:,.0f} MiB | {above / dense:.1%} |"
        )
        before = agent
    return "\n".join(lines)


def main(options: Options) -> None:
    tiny = measure(TINY_WIDTH, TINY_SPARSITY, options.batch_size)
    agents = [measure(options.width, sparsity, options.batch_size) for sparsity in options.sparsities]
    title = f"Peak memory of a DS-TD3 agent, hidden layers {options.width}-{options.width}, batch {options.batch_size}"
    matrix = f"{options.width}x{options.width} float32 matrix"
    print(
        f"## {title}\n\n{table(agents, tiny)}\n\n"
        "Connections: actor and both critics; their three targets are in the peak too.\n"
        f"The tiny agent's peak is {tiny['peak_bytes'] / MIB:.0f} MiB. "
        f"One {matrix} is {4 * options.width**2 / MIB:,.0f} MiB.\n\n"
        + machine.markdown(machine.describe(), versions("numpy", "rewirl"))
    )
    if options.json:
        used = versions("numpy", "rewirl")
        measured = {"machine": machine.describe(), "versions": used, "tiny": tiny, "agents": agents}
        options.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
