"""What share of the processor's peak rate of multiply-adds do the kernels reach, and what keeps them from more?

Compiles limits.cpp with the native core for this very machine and runs it. README.md tells how to read the tables.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import tyro

from rewirl import _core
from rewirl.bench import machine
from rewirl.bench.machine import table
from rewirl.nn.tiles import tile_shape

ROOT = Path(__file__).parent.parent

CANDIDATES = ("dense", "random", "even", "banded", *(f"{height}x1" for height in range(2, 9)))


@dataclass(frozen=True)
class Options:
    """Measure square layers on one thread, beside the peak rate of multiply-adds of that very time."""

    widths: tuple[int, ...] = (256, 256, 1024)
    """Inputs of a layer, and as many outputs; powers of two."""

    densities: tuple[float, ...] = (0.5, 0.1, 0.06)
    """Share of the places that are connections, for each of the widths."""

    candidates: tuple[str, ...] = ("dense", "random", "even", "banded", "4x1", "8x1")
    """What is measured, see README.md: dense, random, even, banded, and blocks of 2x1 to 8x1."""

    batches: tuple[int, ...] = (100, 256)
    """Samples per batch."""

    rounds: int = 30
    """How often every layer gets a turn. Typical: 20 to 100."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.densities):
            raise SystemExit(
                f"{len(self.widths)} --widths and {len(self.densities)} --densities: give one density for each width"
            )
        if not self.widths or not self.batches or min(self.rounds, *self.batches) < 1:
            raise SystemExit("--batches and --rounds must be at least 1")
        if not all(width > 0 and width & (width - 1) == 0 for width in self.widths):
            raise SystemExit(f"--widths must be powers of two, got {self.widths}")
        if not all(0 < density <= 1 for density in self.densities):
            raise SystemExit(f"--densities must be above 0 and at most 1, got {self.densities}")
        unknown = [name for name in self.candidates if name not in CANDIDATES]
        if unknown or not self.candidates:
            raise SystemExit(f"--candidates must be among {', '.join(CANDIDATES)}; got {', '.join(unknown) or 'none'}")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


def build(directory: Path) -> Path:
    """Compile limits.cpp and the native core in a directory; return the program."""
    cmake = shutil.which("cmake", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    if cmake is None:
        raise SystemExit("there is no cmake (pip install cmake); a C++ compiler is needed too")
    for arguments in (
        ["-S", str(ROOT), "-B", str(directory), "-DREWIRL_NATIVE_TESTS=ON"],
        ["--build", str(directory), "--target", "limits", "--parallel", "2"],
    ):
        done = subprocess.run([cmake, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise SystemExit(f"{done.stdout}\ncmake {' '.join(arguments)} failed; its output is above")
    return directory / "limits"


def measure(
    program: Path, width: int, density: float, batch: int, rounds: int, candidates: Sequence[str]
) -> dict[str, Any]:
    """Run the program for one layer and the tiles of one batch size.

    Returns:
        `kernels`, the instruction set; `contestants`, each candidate with its name, connections and, by operation, the
        shares of every round.
    """
    tiles, samples = tile_shape(batch)
    sizes = [str(width), f"{density:g}", str(tiles), str(samples // _core.LANE)]
    command = [str(program), str(rounds), *sizes, *candidates]
    measured: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return {"width": width, "density": density, "batch": batch, "tiles": tiles, "tile": samples, **measured}


def markdown(layer: dict[str, Any]) -> str:
    """Return the table of one layer."""

    def cell(shares: list[float]) -> str:
        return f"{median(shares):.0%}" if shares else "restless"

    candidates = layer["contestants"]
    width, density, batch, tiles, tile = (layer[name] for name in ("width", "density", "batch", "tiles", "tile"))
    title = f"## {width} x {width}, density {density:g}, batch {batch}, {tiles} x {tile} samples"
    rows = [
        [operation, *(cell(each["shares"][operation]) for each in candidates)] for operation in candidates[0]["shares"]
    ]
    return f"{title}\n\n" + table(["operation", *(each["name"] for each in candidates)], rows)


def main(options: Options) -> None:
    layers = []
    with tempfile.TemporaryDirectory() as directory:
        program = build(Path(directory))
        for width, density in zip(options.widths, options.densities, strict=True):
            for batch in options.batches:
                layers.append(measure(program, width, density, batch, options.rounds, options.candidates))
                print(markdown(layers[-1]) + "\n", flush=True)
    versions = {"rewirl": version("rewirl")}
    print(
        f"Share of one thread's peak rate of multiply-adds with {layers[0]['kernels']}, padding of a tile included: "
        f"medians of {options.rounds} interleaved rounds.\n\n" + machine.markdown(machine.describe(), versions)
    )
    if options.json:
        described = {"machine": machine.describe(), "versions": versions, "layers": layers}
        options.json.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
