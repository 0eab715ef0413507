"""How fast one layer computes, by density, width and batch, beside the faster library's dense matrix product.

Each (width, batch) is a process of its own, in which all densities and the dense product take turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from rewirl.bench import blas, machine
from rewirl.bench.interleaved import Candidate, measure, ratio, say
from rewirl.bench.machine import table
from rewirl.bench.serve import Task

KERNELS = {"forward": 1, "input gradient": 1, "weight gradient": 1, "all three": 3}
"""What is timed, with the dense matrix products it stands for."""

DENSE = "dense product"


@dataclass(frozen=True)
class Options:
    """Which layers are timed, and for how long."""

    densities: tuple[float, ...] = (1.0, 0.5, 0.35, 0.2, 0.1, 0.05, 0.02, 0.01)
    """Shares of the places that are connections; 1 is a dense layer."""

    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    """Inputs of the layer, and as many outputs."""

    batches: tuple[int, ...] = (1, 100, 256)
    """Samples per batch; 1 is acting, which only runs forward."""

    heights: tuple[int, ...] = (4, 8)
    """Heights of the blocks that connections are timed in besides: so many outputs, one after the other, share an
    input. From 2 to 8."""

    threads: int = 1
    """Threads that the layer and the dense product may use. Typical: 1 or 2."""

    rounds: int = 9
    """How often everything gets its turn. Typical: 5 to 30."""

    seconds: float = 0.05
    """Length of a turn. Typical: 0.02 to 0.2."""

    def __post_init__(self) -> None:
        """Validate."""
        if not self.densities or not all(0 < density <= 1 for density in self.densities):
            raise ValueError(f"densities must be above 0 and at most 1, got {self.densities}")
        if not self.widths or not self.batches:
            raise ValueError("widths and batches need at least one number each")
        if min(*self.widths, *self.batches, self.threads, self.rounds) < 1 or self.seconds <= 0:
            raise ValueError("widths, batches, threads and rounds must be at least 1, seconds more than 0")
        if not all(2 <= height <= 8 for height in self.heights):
            raise ValueError(f"heights of blocks must be between 2 and 8, got {self.heights}")
        few = [
            f"{d:g} of {w} x {w}"
            for d, w, height in itertools.product(self.densities, self.widths, (1, *self.heights))
            if connections_of(w, d, height) < 1
        ]
        if few:
            raise ValueError(f"no connection would be left of density {few[0]}")
        ragged = [(w, height) for w in self.widths for height in self.heights if w % height]
        if ragged:
            raise ValueError(f"{ragged[0][0]} outputs are no whole number of blocks of {ragged[0][1]}")


def connections_of(width: int, density: float, height: int = 1) -> int:
    """Return how many connections a layer has at this density, in blocks of this height."""
    return round(density * width * width / height) * height


def structure_of(height: int) -> str:
    """Return what tasks and columns call blocks of this height."""
    return f"{height}x1"


class Kernels:
    """The layers of one width and batch, each with the tasks `KERNEL DENSITY`, and the dense products.

    Those of layers in blocks are `KERNEL DENSITY HEIGHTx1`.

    Args:
        specification: `width`, `batch_size`, `densities` and `threads`; `heights` of blocks, if there are to be any;
            `dense` is whether the dense products are timed too.
    """

    packages = ("rewirl", "numpy", "torch")

    def __init__(self, specification: dict[str, Any]) -> None:
        width, batch_size = specification["width"], specification["batch_size"]
        self._rng = np.random.default_rng(0)
        self.tasks: dict[str, Task] = {}
        for density, height in itertools.product(specification["densities"], (1, *specification.get("heights", ()))):
            structure = f" {structure_of(height)}" if height > 1 else ""
            for kernel, task in self._layer(width, batch_size, density, height, specification["threads"]).items():
                self.tasks[f"{kernel} {density:g}{structure}"] = task
        self.facts: dict[str, Any] = {"connections": None}
        if specification.get("dense", True):
            products, self.facts["blas"] = dense_products(width, batch_size, specification["threads"])
            self.tasks |= {f"{kernel} {DENSE}": task for kernel, task in products.items()}

    def warm_up(self) -> None:
        """Do everything a few times."""
        for task in self.tasks.values():
            task()
            task()

    def _layer(self, width: int, batch_size: int, density: float, height: int, threads: int) -> dict[str, Task]:
        from rewirl.nn import Ensemble, Linear, Pool, initialised, pack

        places = None
        if density < 1 or height > 1:
            count = connections_of(width, density, height) // height
            blocks = np.sort(self._rng.choice(width * width // height, count, replace=False))
            rows = blocks // width * height + np.arange(height)[:, np.newaxis]
            places = np.sort((rows * width + blocks % width).reshape(-1))
        network = initialised(width, [Linear("output", n_out=width, height=height)], {"output": places}, self._rng)
        if batch_size == 1:
            sample = self._random(width)
            return {"forward": repeated(10, lambda: network.act(sample))}
        ensemble = Ensemble([network], Pool(threads))
        inputs, gradients = pack(self._random(batch_size, width)), [pack(self._random(batch_size, width))]
        ensemble.forward(inputs)

        def forward() -> int:
            ensemble.forward(inputs)
            return 1

        def input_gradient() -> int:
            ensemble.input_gradients(inputs, gradients)
            return 1

        def weight_gradient() -> int:
            ensemble.backward(inputs, gradients)
            return 1

        def all_three() -> int:
            ensemble.forward(inputs)
            ensemble.backward(inputs, gradients, inputs_from=0)
            return 1

        return dict(zip(KERNELS, (forward, input_gradient, weight_gradient, all_three), strict=True))

    def _random(self, *shape: int) -> Any:
        return self._rng.standard_normal(shape, dtype=np.float32)


def dense_products(width: int, batch_size: int, threads: int) -> tuple[dict[str, Task], str]:
    """Return the dense matrix products that the kernels stand for, by the faster library, and its name.

    Of MKL, if torch is installed, and NumPy's library; environment variables limit the latter's threads.
    """
    libraries = blas.libraries(threads)
    tasks = [products_by(library, width, batch_size) for library in libraries]
    number = blas.fastest([each[list(each)[-1]] for each in tasks])
    return tasks[number], libraries[number].name


def products_by(library: blas.Blas, width: int, batch_size: int) -> dict[str, Task]:
    """Return the dense matrix products that the kernels stand for, by a library."""
    multiply = library.multiply
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> Any:
        return library.array(rng.standard_normal(shape, dtype=np.float32))

    weights = matrix(width, width)
    if batch_size == 1:
        sample, result = matrix(width), matrix(width)
        return {"forward": repeated(10, lambda: multiply(weights, sample, result))}
    inputs, outputs, result, gradient = (matrix(*s) for s in [(batch_size, width)] * 3 + [(width, width)])

    def forward() -> int:
        multiply(inputs, weights.T, result)
        return 1

    def input_gradient() -> int:
        multiply(outputs, weights, result)
        return 1

    def weight_gradient() -> int:
        multiply(outputs.T, inputs, gradient)
        return 1

    def all_three() -> int:
        forward()
        input_gradient()
        return weight_gradient()

    return dict(zip(KERNELS, (forward, input_gradient, weight_gradient, all_three), strict=True))


def repeated(times: int, function: Callable[[], object]) -> Task:
    """Return a task that calls a function so often; for what is not much longer than reading a clock."""

    def task() -> int:
        for _ in range(times):
            function()
        return times

    return task


KINDS = {"kernels": Kernels}


def run(options: Options) -> dict[str, Any]:
    """Time everything.

    Returns:
        JSON values: `groups` with the rates of every round in calls per second, machine, versions and the options.
    """
    groups: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for width, batch_size in itertools.product(options.widths, options.batches):
        specification = {
            "kind": "kernels", "width": width, "batch_size": batch_size, "threads": options.threads,
            "densities": options.densities, "heights": options.heights,
        }  # fmt: skip
        layers = Candidate(f"layers of {width} x {width}, batch {batch_size}", specification, Path(__file__))
        say(layers.name)
        measure([layers], options.rounds, options.seconds)
        versions |= layers.versions
        groups.append({"width": width, "batch": batch_size, "blas": layers.facts["blas"], "rates": layers.rates})
    return {
        "densities": list(options.densities),
        "heights": list(options.heights),
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": machine.describe(),
        "versions": versions,
        "groups": groups,
    }


def markdown(result: dict[str, Any]) -> str:
    """Return what `run` found as Markdown."""
    parts = [f"## One layer, {result['threads']} thread{'s' * (result['threads'] > 1)}"]
    for group in result["groups"]:
        parts += [
            f"### {group['width']} x {group['width']}, "
            + ("one sample (acting)" if group["batch"] == 1 else f"batch {group['batch']}"),
            _table(group, result["densities"], result.get("heights", [])),
        ]
    libraries = " or ".join(sorted({group["blas"] for group in result["groups"]}))
    parts += [
        "GFLOP/s, effective / dense-equivalent (times as fast as the dense product): 2 x connections x batch, and "
        f"2 x width x width x batch, by the time of a product; medians of {result['rounds']} interleaved rounds of "
        f"{result['seconds']:g} s. Dense product: sgemm of the faster library, {libraries}. In the columns 4x1 and so "
        "on, so many outputs, one after the other, share their inputs.",
        machine.markdown(result["machine"], result["versions"]),
    ]
    return "\n\n".join(parts)


def _table(group: dict[str, Any], densities: Sequence[float], heights: Sequence[int]) -> str:
    rates, batch, width = group["rates"], group["batch"], group["width"]
    kernels = [kernel for kernel in KERNELS if f"{kernel} {DENSE}" in rates]

    def gflops(kernel: str, name: str, weights: int) -> float:
        calls: float = median(rates[f"{kernel} {name}"])
        return 2e-9 * KERNELS[kernel] * weights * int(batch) * calls

    def cell(kernel: str, density: float, height: int = 1) -> str:
        name = f"{density:g}" + (f" {structure_of(height)}" if height > 1 else "")
        faster = ratio(rates[f"{kernel} {name}"], rates[f"{kernel} {DENSE}"])
        effective = gflops(kernel, name, connections_of(width, density, height))
        return f"{effective:.3g} / {gflops(kernel, name, width * width):.3g} (x {faster:.2f})"

    rows = [
        [
            f"{density:g}",
            *(cell(kernel, density) for kernel in kernels),
            *(cell(kernels[-1], density, height) for height in heights),
        ]
        for density in densities
    ]
    rows.append([DENSE, *(f"{gflops(kernel, DENSE, width * width):.3g}" for kernel in kernels), *[""] * len(heights)])
    return table(["density", *kernels, *(f"{kernels[-1]}, {structure_of(height)}" for height in heights)], rows)
