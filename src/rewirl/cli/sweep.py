"""The command `sweep`: many runs side by side."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

import docstring_parser

from rewirl.agents import AGENTS
from rewirl.cli.commands import COMMANDS
from rewirl.cli.errors import UsageError, failed, require_at_least_one, usage_errors
from rewirl.cli.parse import parse
from rewirl.experiments.sweep.estimate import estimate, makespan
from rewirl.experiments.sweep.file import Sweep, experiments, narrowed, read_sweep
from rewirl.experiments.sweep.plan import PlannedRun, check, plan, standing
from rewirl.experiments.sweep.pool import Place, Pool
from rewirl.experiments.sweep.session import work_through
from rewirl.options.option import options as options_of
from rewirl.topology import TopologyConfig
from rewirl.training.config import TrainConfig


def sweep(arguments: list[str]) -> int:
    """Run `rewirl sweep` and return its exit code."""
    with usage_errors():
        experiment_lines = "\n".join(f"  {name}: {text}" for name, text in experiments().items())
    overrides = _overrides()
    options = parse(
        "sweep",
        arguments,
        f"{COMMANDS['sweep'].summary}\n\nExperiments:\n{experiment_lines}",
        experiment=(str, dataclasses.MISSING, "Name of an experiment, or a TOML file (docs/sweeps.md)."),
        directory=(
            Path,
            Path("runs"),
            "Where the run directories are. Sweeps that share runs may share it: a finished run is never made twice.",
        ),
        workers=(int | None, None, "Runs side by side. None is one per core, or as many as the Ray cluster has CPUs."),
        ray=(
            str | None,
            None,
            "Address of a Ray cluster to make the runs on: host:port, auto, or local for a new one on this machine. "
            "Its nodes must share --directory. None is this machine alone, without Ray.",
        ),
        hours=(
            float | None,
            None,
            "After so many hours all runs are saved and left, and before that only such new ones are started as are "
            "expected to end by then. The same command goes on. None makes all runs.",
        ),
        dry_run=(bool, False, "List the runs, which are finished, and about how long the others take; then stop."),
        agents=(tuple[str, ...], (), "Only runs of these agents."),
        envs=(tuple[str, ...], (), "Only runs in these environments."),
        seeds=(tuple[int, ...], (), "Only runs with these seeds."),
        **overrides,
    )
    if options.workers is not None:
        require_at_least_one("--workers", options.workers)
    if options.hours is not None and not 0 < options.hours < float("inf"):
        raise UsageError(f"--hours must be positive, got {options.hours}")
    with usage_errors():
        settings = {name: value for name in overrides if (value := getattr(options, name)) not in (None, {})}
        whole = read_sweep(options.experiment, settings)
        described = narrowed(whole, options.agents, options.envs, options.seeds)
        runs = plan(described.wanted, options.directory)
        check(runs.values())
    if options.dry_run:
        return _dry_run(described, runs, options.workers or _cores())
    return work_through(runs, _place(options.ray, options.workers), options.hours)


def _overrides() -> dict[str, tuple[Any, Any, str]]:
    """Return a field for every option of a run of any agent, for `parse`."""
    kinds = dict.fromkeys([TrainConfig, *(entry.config for entry in AGENTS.values()), TopologyConfig])
    texts = {
        entry.arg_name: " ".join((entry.description or "").split())
        for kind in reversed(kinds)
        for entry in docstring_parser.parse_from_object(kind).params
    }
    usual = {"threads": "one"}
    fields: dict[str, tuple[Any, Any, str]] = {}
    for agent in AGENTS:
        for name, option in options_of(agent).items():
            text = f"{texts.get(name, '')} In a sweep: for every run; not given is as the experiment says, or else "
            text += f"{usual.get(name, 'the default of rewirl train')}."
            is_table = get_origin(option.kind) is dict
            fields[name] = (option.kind, {}, text) if is_table else (option.kind | None, None, text)
    return fields


def _place(ray: str | None, workers: int | None) -> Place:
    if ray is None:
        return Pool(workers or _cores())
    from rewirl.experiments.sweep.cluster import Cluster

    with usage_errors():
        return Cluster(ray, workers)


def _dry_run(described: Sweep, runs: Mapping[str, PlannedRun], workers: int) -> int:
    standings = {name: standing(run) for name, run in runs.items()}
    print(f"{described.name}: {described.description}" if described.description else described.name)
    pool = Pool(workers)
    try:
        seconds = estimate(runs, pool)
    except RuntimeError as error:
        return failed(error)
    finally:
        pool.close()
    width = max(map(len, runs))
    for name, run in runs.items():
        state = standings[name].state if standings[name].state != "begun" else f"at step {standings[name].step:,}"
        left = _hours(seconds[name]) if seconds[name] else ""
        print(f"{name:<{width}}  {run.config.total_timesteps:>10,} steps  {state:<16}  {left}".rstrip())
    done = sum(one.state == "finished" for one in standings.values())
    left = f"; the others take about {_hours(makespan(runs, seconds, workers))} with {workers} worker"
    left += f"{'s' if workers > 1 else ''} on this machine, measured now"
    print(f"{len(runs)} runs, {done} finished{left if done < len(runs) else ''}")
    return 0


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
