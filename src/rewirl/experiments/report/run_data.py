"""Reads run directories for the report, and checks what they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import noisy
from rewirl.agents import AGENTS, Cost, agent_entry
from rewirl.agents.changing_cost import ChangingCost, updates_of
from rewirl.exact import from_values
from rewirl.experiments.report.core_share import ALONE, ONE_CORE, share_of_a_core
from rewirl.experiments.report.inputs import latest_inputs
from rewirl.experiments.report.places import candidates, is_directory
from rewirl.experiments.report.plasticity_data import Plasticity, plasticity_of
from rewirl.saved import count, fields, listed, number, shown
from rewirl.storage.metrics_log import CHANGED, CONTINUED, read_metrics
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError

_LARGEST = 2.0**200
"""Rewards are float32, so their sums are far below; the squares of more would overflow."""


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
    """Floating-point operations of training until then, as `agents.Cost.training_flops`, [evaluations]. NaN of an agent
    that is not known here."""
    connections: NDArray[np.int64]
    """Of the networks that learn, at each evaluation, [evaluations]."""
    updates: NDArray[np.int64]
    """Until each evaluation, [evaluations]."""
    topologies: dict[int, dict[str, Any]]
    """By step, per network the result of `training.drift.Drift.measure`; empty where a run did not record it."""
    core_share: float | None
    """Processor time over wall-clock time; None where a run of one thread did not record it."""
    noise_from: int | None
    """The first feature of the observation that is noise; None where there is none, or it does not stay where it is."""
    plasticity: Plasticity
    """What says whether networks can still learn; see `plasticity_data`. Empty where a run did not record it."""
    inputs: dict[str, dict[str, list[float] | None]] = field(default_factory=dict)
    """What networks made of each input at the end, see `inputs`; empty where a run did not record it."""
    continued: tuple[dict[str, Any], ...] = ()
    """What went on with it where that is not what began it: versions, revision and machine, as in the record."""

    @property
    def name(self) -> str:
        """What its directory is called, wherever it was looked at from: . has no name itself."""
        return (self.path.resolve() if self.path.name in ("", "..") else self.path).name

    @property
    def alone(self) -> bool:
        """Whether it is known to have had a core to itself: only then do its seconds say something about speed."""
        return self.core_share is not None and ALONE <= self.core_share <= ONE_CORE

    @property
    def makers(self) -> tuple[dict[str, Any], ...]:
        """What made it, each with versions, revision and machine; the record is of the first."""
        return self.record, *self.continued

    @property
    def processors(self) -> set[tuple[str, str]]:
        """What computed it: processors with their instruction sets."""
        machines = [maker.get("machine") or {} for maker in self.makers]
        return {(str(machine.get("cpu")), str(machine.get("instruction_set"))) for machine in machines}

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


def same_speed(runs: Iterable[RunData]) -> bool:
    """Tell whether seconds of some runs may be compared: each had a core to itself, all on processors of one kind."""
    runs = list(runs)
    return all(run.alone for run in runs) and len({each for run in runs for each in run.processors}) <= 1


def find_runs(paths: Sequence[Path]) -> tuple[list[RunData], list[tuple[Path, str]]]:
    """Read all runs in some directories.

    Args:
        paths: run directories, and directories that contain some, however deep.

    Returns:
        The runs in the order of their paths, each once; and the directories that cannot be read as a run, or have none
        beside others that have, with the reason.

    Raises:
        ValueError: a path does not exist.
    """
    missing = [str(path) for path in paths if not is_directory(path)]
    if missing:
        raise ValueError(f"no directory {', '.join(missing)}; give run directories, or directories that contain some")
    runs: dict[Path, RunData] = {}
    problems: dict[Path, str] = {}
    named: dict[Path, Path] = {}
    empty: list[Path] = []
    for path in paths:
        known = len(problems)
        found = list(candidates(path, problems))
        if not found and len(problems) == known:
            empty.append(path)
        for directory in found:
            key = directory.resolve()
            if key in runs or key in problems:
                continue
            try:
                runs[key] = read_run(directory)
            except OSError as error:
                problems[key], named[key] = _within(directory, f"{error.filename}: {error.strerror}"), directory
            except (ValueError, RunDirectoryError) as error:
                problems[key], named[key] = _within(directory, str(error)), directory
    if runs:  # of none at all, whoever asked says so
        problems = {**dict.fromkeys(empty, "there is no run in it"), **problems}
    return list(runs.values()), [(named.get(path, path), problem) for path, problem in problems.items()]


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
    lines = read_metrics(directory.metrics, _EVENTS)  # checks the sums that are in it
    try:
        _refuse_record(path, directory.record)
        return _run(path, directory.record, lines)
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not what a run writes: {type(error).__name__}: {error}") from error


def _run(path: Path, record: dict[str, Any], lines: list[dict[str, Any]]) -> RunData:
    train, settings = record["config"]["train"], record["config"]["agent"]
    _refuse_names(path, train, settings)
    changed = [line for line in lines if line["event"] == CHANGED]
    if changed:
        raise ValueError(
            f"{path}: its log had been changed when the run was resumed at step {shown(changed[0]['step'])}"
        )
    evaluations = [line for line in lines if line["event"] == "evaluation"]
    if not evaluations:
        if train.get("eval_every") == 0:
            raise ValueError(f"{path}: it was not evaluated (eval_every 0), and a report is of evaluations")
        raise ValueError(f"{path}: no evaluation yet")

    def column(name: str, kind: type) -> NDArray[Any]:
        values = [number(line[name], f"{path}: {name} of an evaluation") for line in evaluations]
        if max(map(abs, values)) > _LARGEST:
            raise ValueError(f"{path}: {name} of an evaluation is larger than any run's")
        return np.array(values, kind)

    steps, seconds = column("step", np.int64), column("seconds", np.float64)
    if np.any(np.diff(steps) <= 0) or steps[0] < 0:
        raise ValueError(f"{path}: the steps of the evaluations do not increase")
    topologies = {
        count(line["step"], f"{path}: the step of a topology"): _topology(line["networks"])
        for line in lines
        if line["event"] == "topology"
    }
    if len({tuple((name, *map(tuple, of["shapes"])) for name, of in each.items()) for each in topologies.values()}) > 1:
        raise ValueError(f"{path}: the networks of a topology are not those of another")
    cost = _cost(train["agent"], evaluations[-1]["connections"], settings)
    asked = [train, *(line for line in lines if line["event"] == "total")][-1]  # the last one holds
    total = max(count(asked["total_timesteps"], f"{path}: total_timesteps"), int(steps[-1]))
    flops = _flops(train["agent"], cost, evaluations, settings, next(iter(topologies.values()), None), total)
    there = [[int(line["connections"][name]) for name in cost.networks] for line in evaluations]
    if min(map(min, there)) < 0 or not np.isfinite(flops).all():
        raise ValueError(f"{path}: connections or updates of an evaluation are impossible")
    if train["agent"] not in AGENTS:  # its class says which of its networks learn how often
        flops = np.full_like(flops, np.nan)
    return RunData(
        path,
        _text(train["agent"]),
        _text(train["env"]),
        _seed(train["seed"]),
        train,
        settings,
        record,
        total,
        steps,
        column("return_mean", np.float64),
        seconds,
        flops,
        np.array([sum(each) for each in there], np.int64),
        np.array([line["updates"] for line in evaluations], np.int64),
        topologies,
        share_of_a_core(evaluations, seconds),
        _noise_from(train, settings, topologies),
        plasticity_of(lines),
        latest_inputs([line for line in lines if line["event"] == "topology"]),
        tuple(fields(line["made_with"], "what a run was made with") for line in lines if line["event"] == CONTINUED),
    )


_EVENTS = ("evaluation", "topology", "diagnostics", "total", CHANGED, CONTINUED)

_AGENT, _OPTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}"), re.compile(r"[a-z][a-z0-9_]{0,63}")


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


def _cost(agent: str, networks: Iterable[str], settings: dict[str, Any]) -> Cost:
    """Return what counts of an agent; of one that is not known here, all of its networks but the targets."""
    if agent in AGENTS:
        return AGENTS[agent].cost.of(settings)
    return Cost(tuple(name for name in networks if not name.startswith("target_")))


def _flops(
    agent: str,
    of_agent: Cost,
    evaluations: Sequence[dict[str, Any]],
    settings: dict[str, Any],
    topology: dict[str, Any] | None,
    total_timesteps: int,
) -> NDArray[np.float64]:
    """Return the cost of training until each evaluation, float64 [evaluations].

    Where the sparsity changes, by its schedule, as `rewirl inspect` counts it. If the record lacks what that takes, the
    updates between two evaluations cost the mean of what they would cost at either.

    Args:
        agent: its name.
        of_agent: what counts of it.
        evaluations: lines of the log.
        settings: of the agent.
        topology: of any line of the log, for the sizes of the networks; None if there is none.
        total_timesteps: of the run.
    """
    changing = _changing_cost(agent, of_agent, settings, topology, total_timesteps)
    updates = [count(line["updates"], "the updates of an evaluation") for line in evaluations]
    if changing is not None and updates == sorted(updates):
        return np.array(changing.training_flops(updates), np.float64)

    def cost(line: dict[str, Any], updates: int) -> int:
        return of_agent.training_flops(
            {name: [line["connections"][name]] for name in of_agent.networks}, updates, settings
        )

    flops = [float(cost(evaluations[0], evaluations[0]["updates"]))]
    for before, line in pairwise(evaluations):
        first, last = before["updates"], line["updates"]
        flops.append(flops[-1] + sum(cost(one, last) - cost(one, first) for one in (before, line)) / 2)
    return np.array(flops, np.float64)


def _changing_cost(
    agent: str, of_agent: Cost, settings: dict[str, Any], topology: dict[str, Any] | None, total_timesteps: int
) -> ChangingCost | None:
    given = settings.get("topology") or {}
    if (
        agent not in AGENTS
        or given.get("initial_sparsity") is None
        or topology is None
        or not topology.keys() >= set(of_agent.networks)
    ):
        return None
    try:
        config = from_values(agent_entry(agent).config, settings)
    except ValueError:  # of another version
        return None
    if config.topology.adaptive:  # no schedule says what it will be
        return None
    shapes = {name: [(n_out, n_in) for n_out, n_in in topology[name]["shapes"]] for name in of_agent.networks}
    return ChangingCost(of_agent, config.topology, settings, shapes, updates_of(config, total_timesteps))


def _topology(networks: Any) -> dict[str, Any]:
    """Return the networks of a topology as `training.drift.Drift.measure` makes them.

    Raises:
        ValueError: they are not such; the message says what is wrong.
    """
    for network in fields(networks, "the networks of a topology").values():
        shapes, counts, shares, inputs = (
            fields(network, "a network of a topology")[name]
            for name in ("shapes", "connections", "initial_alive", "input_connections")
        )
        if not len(listed(shapes, "shapes")) == len(listed(counts, "connections")) == len(listed(shares, "shares")) > 0:
            raise ValueError("a topology has other layers in its shapes, connections and shares")
        for shape, connections, share in zip(shapes, counts, shares, strict=True):
            if len(listed(shape, "a shape")) != 2 or min(count(size, "a size of a layer") for size in shape) < 1:
                raise ValueError(f"a layer of a topology has the shape {shown(shape)}")
            count(connections, "the connections of a layer")
            if share is not None and not 0 <= number(share, "the share of initial connections") <= 1:
                raise ValueError(f"the share of initial connections of a layer is {share}")
        if inputs is not None:
            if len(listed(inputs, "the connections of inputs")) != shapes[0][1]:
                raise ValueError("a topology has not one number of connections per input")
            for connections in inputs:
                count(connections, "the connections of an input")
        for operation in listed(network.get("operations", []), "the operations of a network"):
            if not isinstance(operation, str):
                raise ValueError("the operations of a network are not a list of names")
    return dict(networks)


def _refuse_record(path: Path, record: dict[str, Any]) -> None:
    """Refuse a record with versions or a machine of other types than are written.

    Raises:
        ValueError: names what it is.
    """
    for name in ("versions", "machine"):
        table = fields(record.get(name) or {}, f"{path}: {name}")
        for key, value in table.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
                raise ValueError(f"{path}: {name}.{key[:100]} is {shown(value)}, which is neither text nor a number")
    if not isinstance(record.get("git_revision") or "", str):
        raise ValueError(f"{path}: git_revision is {shown(record['git_revision'])}, which is no revision")


def _seed(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**128:
        raise ValueError(f"the seed is {shown(value)}, which is not a seed")
    return value


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


def _within(directory: Path, problem: str) -> str:
    """Return a problem of a directory for a line that names the directory already."""
    for name in (str(directory.absolute()), str(directory)):
        for end in (" ", ": ", "/"):
            problem = problem.removeprefix(name + end)
    return problem
