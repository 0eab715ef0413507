"""The command `sweep`: many runs side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from rewirl.cli.commands import COMMANDS
from rewirl.cli.errors import UsageError, failed, require_directory, require_writable, usage_errors
from rewirl.cli.executors import RAY, WORKERS, executor, in_words, refuse_impossible
from rewirl.cli.own_agents import import_agents_of_sweep
from rewirl.cli.parse import parse
from rewirl.experiments.sweep.apart import told_apart
from rewirl.experiments.sweep.estimate import estimate, makespan
from rewirl.experiments.sweep.file import Sweep, experiments, narrowed, read_sweep
from rewirl.experiments.sweep.plan import PlannedRun, check, lost_checkpoints, plan, run_status
from rewirl.experiments.sweep.pool import ProcessPool
from rewirl.experiments.sweep.session import run_session
from rewirl.options.option import AXES, all_options
from rewirl.printing import counted, result, visible
from rewirl.processes import cores


def sweep(arguments: list[str]) -> int:
    """Run `rewirl sweep` and return its exit code."""
    with usage_errors():
        import_agents_of_sweep(arguments)
        known = {name: option for name, option in all_options().items() if name not in AXES}
        experiment_lines = "\n".join(f"  {name}: {text}" for name, text in experiments().items())
    options = parse(
        "sweep",
        arguments,
        f"{COMMANDS['sweep'].summary}\n\nExperiments:\n{experiment_lines}",
        known,
        experiment=(str, dataclasses.MISSING, "Name of an experiment, or a TOML file (docs/sweeps.md)."),
        directory=(
            Path,
            Path("runs"),
            "Where the run directories are. Sweeps that share runs may share it: a finished run is never made twice.",
        ),
        workers=WORKERS,
        ray=RAY,
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
    )
    refuse_impossible(options)
    require_directory("--directory", options.directory)
    with usage_errors():
        whole = read_sweep(options.experiment, options.overrides)
        described = narrowed(whole, options.agents, options.envs, options.seeds)
        runs = plan(described.requests, options.directory)
        said_by = check(runs.values())
    if options.dry_run:
        return _dry_run(described, runs, options.workers or cores(), said_by)
    pool = executor(options)  # a cluster that cannot be reached is refused before anything is made
    try:
        if any(run_status(run).state == "new" for run in runs.values()):
            require_writable("--directory", options.directory)
    except UsageError:
        pool.close()
        raise
    return run_session(runs, pool, options.hours)


def _dry_run(
    described: Sweep, runs: Mapping[str, PlannedRun], workers: int, said_by: Mapping[str, Sequence[str]]
) -> int:
    standings = {name: run_status(run) for name, run in runs.items()}
    lost = {name for name, run in runs.items() if lost_checkpoints(run)}
    result(visible(f"{described.name}: {described.description}" if described.description else described.name))
    pool = ProcessPool(workers)
    try:
        seconds, unknown = estimate({name: run for name, run in runs.items() if name not in lost}, pool)
        seconds |= dict.fromkeys(lost, 0.0)
    finally:
        pool.close()
    width, options = max(map(len, runs)), told_apart(runs.values())
    for name, run in runs.items():
        state = standings[name].state if standings[name].state != "begun" else f"at step {standings[name].step:,}"
        state = "cannot go on" if name in lost else state
        left = "unknown" if name in unknown else in_words(seconds[name]) if seconds[name] else ""
        line = f"{name:<{width}}  {run.config.total_timesteps:>10,} steps  {state:<16}  {left:<13}  {options[name]}"
        result(visible(line.rstrip()))
    done = sum(one.state == "finished" for one in standings.values())
    left = f"; the others take about {in_words(makespan(runs, seconds, workers))} with {workers} worker"
    left += f"{'s' if workers > 1 else ''} on this machine, measured now"
    for remark, names in said_by.items():
        others = "" if len(names) == 1 else f" and {len(names) - 1} more"
        result(visible(f"{names[0]}{others}: {remark}"))
    for name in runs:
        if name in lost:
            result(visible(f"{name} has no checkpoints any more; to train it from the start, move it away"))
    left = left if done + len(unknown) + len(lost) < len(runs) else ""
    result(f"{counted(len(runs), 'run')}, {done} finished{left}")
    if not unknown:
        return 0
    name, reason = next(iter(unknown.items()))
    others = "" if len(unknown) == 1 else f", nor can {len(unknown) - 1} more"
    return failed(f"{name} cannot be measured{others}: {reason}")
