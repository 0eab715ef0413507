"""The one place of these tests that knows what is inside the package, and how a version names what it saves.

Everything else goes by the command line, by the names that `rewirl` itself gives, and by files.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import contextlib
import hashlib
import io
import json
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
sys.path.append(str(FIXTURES))  # rewirl_fixtures, the environment that everything was trained in

# --- What is not public -------------------------------------------------


def instruction_sets() -> list[str]:
    """Return the instruction sets of this machine, best first."""
    from rewirl import _core

    return _core.available_instruction_sets()


@contextlib.contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Compute with an instruction set."""
    from rewirl import _core

    before = _core.instruction_set()
    _core.use_instruction_set(name)
    try:
        yield
    finally:
        _core.use_instruction_set(before)


def sweep_names(source: str, directory: Path) -> list[str]:
    """Return the names that the runs of a sweep, an experiment of the package or a file, have in a directory."""
    from rewirl.experiments.sweep.file import read_sweep
    from rewirl.experiments.sweep.plan import plan

    sweep = read_sweep(source)
    requests = sweep.requests if hasattr(sweep, "requests") else sweep.wanted  # their name in 0.1.0
    return list(plan(requests, directory))


def experiments() -> list[str]:
    """Return the names of the experiments of the package."""
    from rewirl.experiments.sweep.file import experiments as known

    return list(known())


def runs_for_the_report(paths: list[Path]) -> tuple[list[Any], list[Any]]:
    """Return the runs that the report finds in some directories, and those it cannot read, with the reason."""
    from rewirl.experiments.report.run_data import find_runs

    return find_runs(paths)


# --- What is in files ----------------------------------------------------

KINDS = ("places", "values", "bias", "m", "v", "bias_m", "bias_v", "born")
"""Arrays of a layer: connections, weights and biases, the moments of Adam of both, the step each connection is of."""

OF_CONNECTIONS = ("places", "values", "m", "v", "born")

Layers = list[dict[str, NDArray[Any]]]


def networks(directory: Path) -> dict[str, Layers]:
    """Return the layers of each network, inputs first, of a checkpoint, a policy, or the newest checkpoint of a run.

    The connections of a layer are in the order of their places; a dense layer has no places.
    """
    if (directory / "checkpoints").is_dir():
        directory = newest_checkpoint(directory)
    found: dict[str, dict[int, dict[str, NDArray[Any]]]] = {}
    for file in sorted(directory.glob("*.safetensors")):
        for name, array in load_file(file).items():
            place = _layer(name)
            if place is not None:
                network, index, kind = place
                found.setdefault(network, {}).setdefault(index, {})[kind] = array.reshape(-1)
    return {name: [_sorted(layers[index]) for index in sorted(layers)] for name, layers in sorted(found.items())}


def _layer(name: str) -> tuple[str, int, str] | None:
    """Return network, number of the layer and kind of an array: actor.0.values, or actor.hidden1.values."""
    *network, layer, kind = ["", *name.rpartition("/")[2].split(".")]
    number = re.fullmatch(r"(\d+)|hidden(\d+)|output", layer)
    if number is None or kind not in KINDS:
        return None  # such as replay/transitions
    index = int(number[1]) if number[1] else int(number[2]) - 1 if number[2] else 10_000
    return ".".join(network).strip(".") or "actor", index, kind  # a policy is an actor alone


def _sorted(layer: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    if "places" not in layer:
        return {kind: array for kind, array in layer.items() if kind != "born"}  # 0.1.0 had no ages there
    order = np.argsort(layer["places"])
    return {kind: array[order] if kind in OF_CONNECTIONS else array for kind, array in layer.items()}


def newest_checkpoint(run: Path) -> Path:
    return max((run / "checkpoints").glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))


def of_networks(directory: Path) -> dict[str, str]:
    """Return a hash of everything each network consists of: connections, weights, biases, moments, ages."""
    return {name: _of_layers(layers) for name, layers in networks(directory).items()}


def _of_layers(layers: Layers) -> str:
    digest = hashlib.sha256()
    for layer in layers:
        digest.update(b"layer")
        for kind in KINDS:
            if kind in layer:
                digest.update(f"{kind} {layer[kind].dtype} {layer[kind].size}".encode() + layer[kind].tobytes())
    return digest.hexdigest()[:16]


# What 0.1.0 writes into metrics.jsonl; later versions may add to it.
PROGRESS = {
    "start": ("total_timesteps", "connections"),
    "episode": ("episode", "return", "length"),
    "evaluation": ("updates", "connections"),
    "topology": ("networks",),
    "checkpoint": (),
    "end": (),
}
"""What does not depend on how NumPy rounds, where the actions do not."""

_DORMANT = ("actor_dormant", "critic1_dormant", "critic2_dormant")
MEASURED = {
    "evaluation": ("return_mean", "return_std", "returns", "lengths"),
    "diagnostics": (
        *("updates", "critic1_loss", "critic2_loss", "target_mean", "rewired", "recycled", *_DORMANT),
        *("policy_value", "entropy", "temperature"),
    ),
}
"""What does."""


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def of_metrics(run: Path, wanted: dict[str, tuple[str, ...]]) -> str:
    """Return a hash of some fields of some events of a run's record."""
    kept = [
        [line["event"], line["step"], {name: line[name] for name in wanted[line["event"]] if name in line}]
        for line in metrics(run)
        if line["event"] in wanted
    ]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


PARTS = ("networks", "progress", "measured")
"""Of the hashes of a run."""

EXACT_PARTS = ("networks", "progress")
"""Those that do not depend on how NumPy rounds, for agents that do not."""


def depends_on_rounding(agent: str) -> bool:
    """Whether what an agent learns depends on how NumPy rounds: SAC acts by its exp and tanh."""
    return agent.endswith("sac")


def of_run(run: Path) -> dict[str, Any]:
    """Return hashes of what a run has learnt and recorded."""
    return {
        "networks": of_networks(run),
        "progress": of_metrics(run, PROGRESS),
        "measured": of_metrics(run, MEASURED),
    }


# --- What hashes depend on -----------------------------------------------


def arithmetic() -> str:
    """Return a hash of how NumPy rounds here, which depends on its version, its BLAS and the processor.

    Of tanh and exp of 32 bits are the actions of a saved policy and of SAC, of a product by BLAS the entropy that a
    learnt temperature goes by, of sines the environment Pendulum-v1. Agents of TD3 learn without any of it.
    """
    small = np.linspace(-4, 4, 999, dtype=np.float32)
    large = np.linspace(-9, 9, 999)
    found = [np.tanh(small), np.exp(small), np.sin(large), np.cos(large), large.mean(), (large**2).sum()]
    found += [np.tanh(small[:3]), np.exp(small[:2]), *(np.vdot(small[:n], small[-n:]) for n in (16, 32, 48, 128, 256))]
    found += [np.array([np.sin(one) for one in large[:50]]), np.array([np.cos(one) for one in large[:50]])]
    return hashlib.sha256(b"".join(np.asarray(one).tobytes() for one in found)).hexdigest()[:16]


def processor() -> str:
    """Return whose processor it is: with AVX-512 the estimates of 1/x and 1/sqrt(x) are the maker's own."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.machine()
    maker = re.search(r"vendor_id\s*:\s*(\S+)", text)
    return f"{platform.machine()} {maker[1]}" if maker else platform.machine()


def comparable(name: str, made_on: dict[str, str]) -> str | None:
    """Return why hashes of an instruction set, made on some machine, need not be those of this one; None if they must.

    Args:
        name: of the instruction set.
        made_on: `here` of that machine.
    """
    now = here()
    if now["machine"] != made_on["machine"]:
        return f"the hashes are of {made_on['machine']}, this is {now['machine']}"
    if name == "avx512" and now["processor"] != made_on["processor"]:
        return f"AVX-512 estimates differ between {made_on['processor']} and {now['processor']}"
    return None


def here() -> dict[str, str]:
    """Return what hashes depend on, on this machine."""
    return {"machine": platform.machine(), "processor": processor(), "arithmetic": arithmetic()}


def no_waiting_for_the_disk() -> None:
    """Let fsync return at once; nothing here has to survive a power cut."""
    os.fsync = lambda descriptor: None


# --- The command line ----------------------------------------------------


def command(*arguments: object) -> tuple[int, str]:
    """Run `rewirl` with some arguments in this process; return its exit code and what it printed."""
    import rewirl.__main__  # noqa: F401 - it imports the command line of any version
    from rewirl import cli

    main = getattr(cli.main, "main", cli.main)  # a module in later versions
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            return int(ended.code or 0), printed.getvalue()


def answer(*arguments: object) -> Any:
    """Run a command that prints JSON and return its value."""
    code, printed = command(*arguments)
    assert code == 0, printed
    return json.loads(printed)
