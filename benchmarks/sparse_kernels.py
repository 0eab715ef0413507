"""How fast sparse libraries compute one layer, beside Rewirl's layer and beside the machine's own dense matrix product.

Every library lives in a process of its own; they are timed in turn, slice by slice. README.md tells how to read the
tables.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import environments
import tyro

from rewirl.bench import kernels, machine
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, say
from rewirl.bench.machine import table

CANDIDATES = Path(__file__).parent / "candidates"

REWIRL = "Rewirl"
KERNELS = {"forward": 1, "input gradient": 1, "weight gradient": 1, "both gradients": 2, "all three": 3}
"""What is timed, with the dense matrix products it stands for."""


@dataclass(frozen=True)
class Options:
    """Time the layer of every sparse library there is and print Markdown tables."""

    install: Path | None = None
    """Make a virtual environment for SparseProp in this folder, DIR/sparseprop, by pip, and stop there. It needs a C++
    compiler and a processor with AVX2."""

    environments: Path | None = None
    """The folder that --install filled; without it SparseProp does not take part."""

    widths: tuple[int, ...] = (256, 1024)
    """Inputs of the layer, and as many outputs."""

    batch_size: int = 256
    """Samples per batch."""

    densities: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05, 0.02)
    """Shares of the places that are connections."""

    threads: int = 1
    """Threads that each candidate may use. Typical: 1 or 2."""

    rounds: int = 15
    """How many turns each candidate gets with every kernel. Typical: 10 to 30."""

    seconds: float = 0.05
    """Length of a turn. Typical: 0.02 to 0.2."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.batch_size - 1, self.threads, self.rounds, *self.widths) < 1:
            raise SystemExit("--widths, --threads and --rounds must be at least 1, --batch-size at least 2")
        if not self.densities or not all(0 < density < 1 for density in self.densities) or self.seconds <= 0:
            raise SystemExit("--densities must lie between 0 and 1, --seconds must be more than 0")
        if self.environments and not self.environments.is_dir():
            raise SystemExit(f"there is no folder {self.environments}; --install {self.environments} makes it")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


def candidates_of(options: Options, width: int) -> list[Candidate]:
    """Return all candidates at this width, not yet started."""
    common = {
        "width": width,
        "batch_size": options.batch_size,
        "densities": options.densities,
        "threads": options.threads,
    }
    candidates = [Candidate(REWIRL, {"kind": "kernels", **common}, Path(kernels.__file__))]
    if importlib.util.find_spec("torch"):
        candidates.append(Candidate("torch CSR", {"kind": "torch", **common}, CANDIDATES / "torch_csr.py"))
    candidates.append(Candidate("scipy CSR", {"kind": "scipy", **common}, CANDIDATES / "scipy_csr.py"))
    if options.environments and not environments.missing(options.environments, ["sparseprop"]):
        python = str(environments.python_of(options.environments, "sparseprop").absolute())
        specification = {"kind": "sparseprop", **common}
        candidates.append(Candidate("SparseProp", specification, CANDIDATES / "sparseprop.py", python))
    return candidates


def markdown(candidates: list[Candidate], options: Options, width: int) -> str:
    """Return the table of one width."""
    dense = {name: candidates[0].rates[f"{name} {kernels.DENSE}"] for name in kernels.KERNELS}
    rows = []
    for kernel, products in KERNELS.items():
        for row in candidates:
            if f"{kernel} {options.densities[0]:g}" not in row.rates:
                continue
            cells = []
            for density in options.densities:
                rates = row.rates[f"{kernel} {density:g}"]
                gflops = 2e-9 * products * density * width * width * options.batch_size * median(rates)
                cells.append(f"{gflops:.3g}" + (f" (x {ratio(rates, dense[kernel]):.2f})" if kernel in dense else ""))
            rows.append([kernel, row.name, *cells])
    for kernel, rates in dense.items():
        gflops = 2e-9 * KERNELS[kernel] * width * width * options.batch_size * median(rates)
        rows.append([kernel, candidates[0].facts["blas"], f"{gflops:.3g}", *[""] * (len(options.densities) - 1)])
    headings = ["kernel", "whose", *(f"density {density:g}" for density in options.densities)]
    return f"## {width} x {width}, batch {options.batch_size}\n\n" + table(headings, rows, words=2)


def main(options: Options) -> None:
    if options.install:
        environments.install(options.install, ["sparseprop"])
        return
    if not importlib.util.find_spec("torch"):
        say("torch is not installed (pip install 'rewirl[oracle]'): no torch CSR, and NumPy's dense products")
    if options.environments is None or environments.missing(options.environments, ["sparseprop"]):
        say("no SparseProp: --install DIR makes an environment for it, --environments DIR uses it")
    measured: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for width in options.widths:
        candidates = candidates_of(options, width)
        measure(candidates, options.rounds, options.seconds)
        print(markdown(candidates, options, width) + "\n")
        versions |= merged_versions(candidates)
        measured += [{"name": row.name, "width": width, "rates": row.rates} for row in candidates]
    print(
        "Effective GFLOP/s: 2 x connections x batch by the time of a product (x = times as fast as the dense product); "
        f"{options.threads} threads, medians of {options.rounds} interleaved rounds of {options.seconds:g} s.\n\n"
        + machine.markdown(machine.describe(), versions)
    )
    if options.json:
        described = {
            "machine": machine.describe(),
            "versions": versions,
            "threads": options.threads,
            "layers": measured,
        }
        options.json.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
