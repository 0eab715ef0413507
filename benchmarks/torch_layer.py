"""How fast a layer of rewirl.torch is in PyTorch, compared with nn.Linear, sparselab and torch.sparse.

Every kind of layer lives in a process of its own; they are timed in turn, slice by slice. sparselab takes part where it
is installed: pip install --no-deps sparselab==0.2.2.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tyro

from rewirl.bench import machine
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, say
from rewirl.bench.machine import table

SCRIPT = Path(__file__).parent / "candidates" / "torch_layers.py"

DENSE = "nn.Linear"
ROWS: dict[str, dict[str, str]] = {
    DENSE: {"kind": "dense"},
    "SparseLinear, unstructured": {"kind": "rewirl", "structure": "unstructured"},
    "SparseLinear, 4x1": {"kind": "rewirl", "structure": "4x1"},
    "SparseLinear, 8x1": {"kind": "rewirl", "structure": "8x1"},
    "sparselab": {"kind": "sparselab"},
    "torch.sparse CSR": {"kind": "csr"},
}


@dataclass(frozen=True)
class Options:
    """Time forward and backward of square layers and print Markdown tables."""

    widths: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    """Inputs of the layer, and as many outputs."""

    sparsities: tuple[float, ...] = (0.8, 0.9, 0.95)
    """Shares of the weights that do not exist."""

    threads: tuple[int, ...] = (1, 2)
    """Threads that each candidate may use; a table for each number."""

    batch_size: int = 256
    """Samples per batch."""

    rounds: int = 9
    """How many turns each candidate gets with everything. Typical: 5 to 30."""

    seconds: float = 0.05
    """Length of a turn. Typical: 0.02 to 0.2."""

    json: Path | None = None
    """File for everything measured, every round included."""

    add: tuple[Path, ...] = ()
    """Files that --json wrote before, to be in the tables too; with --widths left empty nothing more is measured."""

    def __post_init__(self) -> None:
        if min((self.batch_size, self.rounds, *self.widths, *self.threads)) < 1 or self.seconds <= 0:
            raise SystemExit("--widths, --threads, --batch-size and --rounds must be at least 1, --seconds more than 0")
        if self.widths and not importlib.util.find_spec("torch"):
            raise SystemExit("torch is not installed: pip install 'rewirl[oracle]'")
        missing = [file for file in self.add if not file.is_file()]
        if missing:
            raise SystemExit(f"--add {missing[0]}: there is no such file")
        if not all(0 <= sparsity < 1 for sparsity in self.sparsities):
            raise SystemExit("--sparsities must be at least 0 and below 1")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


def candidates_of(options: Options, width: int, threads: int) -> list[Candidate]:
    """Return all candidates at this width, not yet started."""
    candidates = []
    for name, own in ROWS.items():
        if own["kind"] == "sparselab" and not importlib.util.find_spec("sparselab"):
            continue
        sparsities = (0.0,) if name == DENSE else options.sparsities
        common = {"width": width, "batch_size": options.batch_size, "threads": threads, "sparsities": sparsities}
        candidates.append(Candidate(name, {**own, **common}, SCRIPT))
    return candidates


def measured(options: Options, width: int, threads: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the rates of every candidate, and the versions."""
    candidates = candidates_of(options, width, threads)
    measure(candidates, options.rounds, options.seconds)
    rates = {candidate.name: candidate.rates for candidate in candidates}
    return {"width": width, "threads": threads, "rates": rates}, merged_versions(candidates)


def markdown(layers: list[dict[str, Any]], sparsities: tuple[float, ...], threads: int) -> str:
    """Return the table for so many threads, of forward and backward together, and the ratio of forward alone."""
    rows = []
    for layer in sorted((layer for layer in layers if layer["threads"] == threads), key=lambda layer: layer["width"]):
        dense = {task: layer["rates"][DENSE][f"{task} 0"] for task in ("forward", "both")}
        for name, rates in layer["rates"].items():
            if name == DENSE:
                cells = [f"{1e3 / median(dense['both']):.3g}"] + [""] * (len(sparsities) - 1)
            else:
                cells = [
                    f"{1e3 / median(rates[f'both {s:g}']):.3g} (x {ratio(rates[f'both {s:g}'], dense['both']):.2f}, "
                    f"forward x {ratio(rates[f'forward {s:g}'], dense['forward']):.2f})"
                    for s in sparsities
                ]
            rows.append([str(layer["width"]), name, *cells])
    return table(["width", "layer", *(f"{s:.0%} sparse" for s in sparsities)], rows, words=2)


def main(options: Options) -> None:
    if options.widths and not importlib.util.find_spec("sparselab"):
        say("sparselab is not installed: pip install --no-deps sparselab==0.2.2")
    layers: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for file in options.add:
        before = json.loads(file.read_text())
        layers, versions = [*layers, *before["layers"]], versions | before["versions"]
    for threads in options.threads:
        for width in options.widths:
            layer, used = measured(options, width, threads)
            layers, versions = [*layers, layer], versions | used
    for threads in sorted({layer["threads"] for layer in layers}):
        print(f"## {threads} thread{'s' * (threads > 1)}\n\n{markdown(layers, options.sparsities, threads)}\n")
    print(
        f"Milliseconds of forward and backward, batch {options.batch_size}; x = times as fast as nn.Linear; medians of "
        f"interleaved rounds.\n\n{machine.markdown(machine.describe(), versions)}"
    )
    if options.json:
        described = {"machine": machine.describe(), "versions": versions, "layers": layers}
        options.json.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
