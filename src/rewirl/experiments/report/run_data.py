"""Reads run directories for the report, and checks what they hold."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import noisy
from rewirl.agents import AGENTS, Cost
from rewirl.saved import count, shown
from rewirl.storage.metrics_log import read_metrics
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError

ALONE = 0.95
"""Share of a core's time from which on a run counts as having had it to itself."""


@dataclass(frozen=True)
class RunData:
    """One run, finished or in progress."""

    path: Path
    agent: str
    env: str
    seed: int
    train: dict[str, Any]
    """Settings of the run, as JSON values."""
    settings: dict[str, Any]
    """Settings of the agent, as JSON values."""
    record: dict[str, Any]
    """All of config.json: versions and machine too."""
    total: int
    """Steps the run is to have, as last asked for."""
    steps: NDArray[np.int64]
    """Environment steps at each evaluation, [evaluations]."""
    returns: NDArray[np.float64]
    """Mean undiscounted return of each evaluation, [evaluations]."""
    seconds: NDArray[np.float64]
    """Wall-clock seconds of the run, acting, learning and evaluating, [evaluations]."""
    flops: NDArray[np.float64]
    """Floating-point operations of training until then, as `agents.Cost.training_flops`, [evaluations]."""
    parameters: int
    """Connections of the networks that learn at the last evaluation."""
    topologies: dict[int, dict[str, Any]]
    """By step, per network the result of `training.drift.Drift.measure`; empty where a run did not record it."""
    core_share: float | None
    """Processor time over wall-clock time; None where a run of one thread did not record it."""
    noise_from: int | None
    """The first feature of the observation that is noise; None where there is none, or it does not stay where it is."""

    @property
    def alone(self) -> bool:
        """Whether it is known to have had a core to itself: only then do its seconds say something about speed."""
        return self.core_share is not None and self.core_share >= ALONE

    @property
    def last(self) -> int:
        """Steps at the last evaluation."""
        return int(self.steps[-1])

    @property
    def finished(self) -> bool:
        """Whether it has all its steps."""
        return self.last >= self.total

    def until(self, step: int) -> NDArray[np.float64]:
        """Return the returns up to and including a step, float64 [evaluations]."""
        return self.returns[: int(np.searchsorted(self.steps, step, side="right"))]


def find_runs(paths: Sequence[Path]) -> tuple[list[RunData], list[tuple[Path, str]]]:
    """Read all runs in some directories.

    Args:
        paths: run directories, and directories that contain some, however deep.

    Returns:
        The runs in the order of their paths, each once; and the directories that cannot be read as a run, with the
        reason.

    Raises:
        ValueError: a path does not exist.
    """
    missing = [str(path) for path in paths if not _is_directory(path)]
    if missing:
        raise ValueError(f"no directory {', '.join(missing)}; give run directories, or directories that contain some")
    runs: dict[Path, RunData] = {}
    problems: dict[Path, str] = {}
    for path in paths:
        for directory in _candidates(path, problems):
            key = directory.resolve()
            if key in runs or key in problems:
                continue
            try:
                runs[key] = read_run(directory)
            except (ValueError, OSError, RunDirectoryError) as error:
                problems[key] = str(error)
    return list(runs.values()), list(problems.items())


def read_run(path: Path) -> RunData:
    """Read one run directory; the run may be in progress.

    Args:
        path: the directory, with config.json and metrics.jsonl.

    Raises:
        RunDirectoryError: config.json is damaged or of another version.
        ValueError: the log is damaged, or has no evaluation yet.
        OSError: a file cannot be read.
    """
    directory = RunDirectory.open(path, lock=False)
    lines = read_metrics(directory.metrics)
    try:
        return _run(path, directory.record, lines)
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not what a run writes: {type(error).__name__}: {error}") from error


def _run(path: Path, record: dict[str, Any], lines: list[dict[str, Any]]) -> RunData:
    train, settings = record["config"]["train"], record["config"]["agent"]
    _refuse_names(path, train, settings)
    evaluations = [line for line in lines if line["event"] == "evaluation"]
    if not evaluations:
        raise ValueError(f"{path} has no evaluation yet")

    def column(name: str, kind: type) -> NDArray[Any]:
        values = [line[name] for line in evaluations]
        bad = next((v for v in values if isinstance(v, bool) or not isinstance(v, (int, float))), None)
        if bad is not None or not all(map(math.isfinite, values)):
            raise ValueError(f"{path}: {name} of an evaluation is not a finite number")
        return np.array(values, kind)

    steps, seconds = column("step", np.int64), column("seconds", np.float64)
    if np.any(np.diff(steps) <= 0) or steps[0] < 0:
        raise ValueError(f"{path}: the steps of the evaluations do not increase")
    cost = _cost(train["agent"], evaluations[-1]["connections"])
    flops = _flops(cost, evaluations, settings)
    last = [int(evaluations[-1]["connections"][name]) for name in cost.networks]
    if min(last) < 0 or not np.isfinite(flops).all():
        raise ValueError(f"{path}: connections or updates of an evaluation are impossible")
    topologies = {int(line["step"]): _topology(line["networks"]) for line in lines if line["event"] == "topology"}
    return RunData(
        path,
        _text(train["agent"]),
        _text(train["env"]),
        int(train["seed"]),
        train,
        settings,
        record,
        max(int(train["total_timesteps"]), int(steps[-1])),
        steps,
        column("return_mean", np.float64),
        seconds,
        flops,
        sum(last),
        topologies,
        _core_share(evaluations, seconds),
        _noise_from(train, settings, topologies),
    )


def _core_share(evaluations: Sequence[dict[str, Any]], seconds: NDArray[np.float64]) -> float | None:
    """Return the share of a core's time that a run had: the mean of what it recorded, weighed by the seconds between.

    Raises:
        ValueError: a share is no number that it can be.
    """
    shares = [line.get("core_share") for line in evaluations]
    if any(share is None for share in shares):
        return None
    if any(isinstance(share, bool) or not isinstance(share, (int, float)) for share in shares):
        raise ValueError("the share of a core's time is not a number")
    weights = np.diff(seconds, prepend=0.0)
    share = float(np.sum(np.asarray(shares, np.float64) * weights) / max(float(weights.sum()), 1e-9))
    if not 0 <= share <= 2:
        raise ValueError("the share of a core's time is impossible")
    return share


_AGENT, _OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"), re.compile(r"[a-z][a-z0-9_]{0,63}")


def _refuse_names(path: Path, train: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse a record whose names are those of no agent or option of any version.

    Raises:
        ValueError: names what it is.
    """
    if not _AGENT.fullmatch(_text(train["agent"])):
        raise ValueError(f"{path}: {shown(train['agent'])} is not the name of an agent")
    for table in (train, settings, settings.get("topology") or {}):
        for name in table:
            if not _OPTION.fullmatch(name):
                raise ValueError(f"{path}: {shown(name)} is not the name of an option")
    if "threads" in train:
        count(train["threads"], f"{path}: threads")


def _cost(agent: str, networks: Iterable[str]) -> Cost:
    """Return what counts of an agent; of one that is not known here, all of its networks but the targets."""
    if agent in AGENTS:
        return AGENTS[agent].cost
    return Cost(tuple(name for name in networks if not name.startswith("target_")))


def _flops(of_agent: Cost, evaluations: Sequence[dict[str, Any]], settings: dict[str, Any]) -> NDArray[np.float64]:
    """Return the cost of training until each evaluation, float64 [evaluations].

    Where the sparsity changes, the updates between two evaluations cost the mean of what they would cost at either.
    """

    def cost(line: dict[str, Any], updates: int) -> int:
        return of_agent.training_flops(
            {name: [line["connections"][name]] for name in of_agent.networks}, updates, settings
        )

    flops = [float(cost(evaluations[0], evaluations[0]["updates"]))]
    for before, line in pairwise(evaluations):
        first, last = before["updates"], line["updates"]
        flops.append(flops[-1] + sum(cost(one, last) - cost(one, first) for one in (before, line)) / 2)
    return np.array(flops, np.float64)


def _topology(networks: Any) -> dict[str, Any]:
    for network in networks.values():
        layers = len(network["shapes"])
        if len(network["connections"]) != layers or len(network["initial_alive"]) != layers:
            raise ValueError("a topology has other layers in its shapes, connections and shares")
        if network["input_connections"] is not None and len(network["input_connections"]) != network["shapes"][0][1]:
            raise ValueError("a topology has not one number of connections per input")
        operations = network.get("operations", [])
        if not isinstance(operations, list) or not all(isinstance(each, str) for each in operations):
            raise ValueError("the operations of a network are not a list of names")
    return dict(networks)


def _noise_from(train: dict[str, Any], settings: dict[str, Any], topologies: dict[int, dict[str, Any]]) -> int | None:
    networks = next(iter(topologies.values()), {})
    if not networks:
        return None
    features = min(int(network["shapes"][0][1]) for network in networks.values())  # others take actions too
    first = settings.get("resample_noise_from")
    if first is None and train["env"] == noisy.ID and not train["env_kwargs"].get("permute_every"):
        first = noisy.real_features(features, float(train["env_kwargs"]["fraction"]))
    return int(first) if first is not None and 0 < first < features else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, or a directory above that is closed
        return False


def _candidates(path: Path, problems: dict[Path, str]) -> Iterator[Path]:
    """Yield the directories at and below a path that look like runs, by name; links are not followed.

    Args:
        path: where to look.
        problems: what cannot be looked into is added, with the reason.
    """

    def closed(error: OSError) -> None:
        problems[Path(os.fsdecode(error.filename))] = f"cannot be read: {error.strerror}"

    for directory, directories, files in os.walk(path, onerror=closed):
        directories.sort()
        if "config.json" in files or "metrics.jsonl" in files:
            directories.clear()  # what is inside belongs to the run
            yield Path(directory)
