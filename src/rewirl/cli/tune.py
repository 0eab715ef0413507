"""The command `tune`: search the options of an agent for the best ones."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rewirl.cli.errors import (
    UsageError,
    failed,
    require_at_least_one,
    require_directory,
    unprintable_output_ignored,
    usage_errors,
)
from rewirl.cli.executors import RAY, WORKERS, executor, in_words, refuse_impossible
from rewirl.cli.parse import parse_run
from rewirl.experiments.sweep import table
from rewirl.experiments.sweep.estimate import measured, seconds_left, speed_key
from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.experiments.sweep.pool import ProcessPool
from rewirl.experiments.tune.error import StudyError, TuneError
from rewirl.experiments.tune.prepare import checked, make_task, usual_directory
from rewirl.experiments.tune.session import study, until
from rewirl.experiments.tune.space import lines
from rewirl.experiments.tune.study import STUDY, Study, Task
from rewirl.printing import result, show, visible
from rewirl.processes import cores
from rewirl.training.signals import StopRequest


def tune(arguments: list[str]) -> int:
    """Run `rewirl tune` and return its exit code."""
    options = parse_run(
        "tune",
        arguments,
        sample=(
            tuple[str, ...],
            (),
            "What to sample, each as NAME=LOW:HIGH, NAME=log:LOW:HIGH or NAME=A,B,C, such as sparsity=0.5,0.8,0.9; a "
            "NAME alone is what its help calls typical. None given is a space for the agent, which --dry-run shows. "
            "--seed decides which values are tried.",
        ),
        trials=(int, 50, "Trials of the study in all. Typical: 30 to 200."),
        seeds=(
            tuple[int, ...],
            (),
            "Seeds of the runs of each trial, whose mean counts. None given is --seed alone. Typical: 0 1 2.",
        ),
        no_prune=(bool, False, "Bring every trial to its end, also one that is worse than most were at a step."),
        directory=(
            Path | None,
            None,
            "Where the study and its runs are; the same command goes on with it. None is tune/ENVIRONMENT-AGENT.",
        ),
        workers=WORKERS,
        ray=RAY,
        hours=(
            float | None,
            None,
            "After so many hours all runs are saved and left; the same command goes on. None makes all trials.",
        ),
        dry_run=(bool, False, "Print what would be sampled and about how long it takes, and stop there."),
    )
    require_at_least_one("--trials", options.trials)
    refuse_impossible(options)
    if options.directory is not None:
        require_directory("--directory", options.directory)
    config = options.run
    request = {name: value for name, value in options.request.items() if name not in ("seed", "preset")}
    if options.preset is not None:
        request["preset"] = options.preset
    seeds = options.seeds or (config.seed,)
    with usage_errors():
        task = make_task(request, options.sample, options.trials, seeds, config.seed, not options.no_prune)
        directory: Path = options.directory or usual_directory(task)
        runs, said = checked(task, directory)
    if options.dry_run:
        return _dry_run(task, directory, runs, options.workers or cores(), said)
    place = executor(options)
    with StopRequest() as stop, unprintable_output_ignored():
        stopped = until(options.hours, lambda: bool(stop))
        try:
            outcome = study(task, directory, place, table.for_this_terminal(), stopped)
        except TuneError as error:
            raise UsageError(str(error)) from error
        except (StudyError, OSError) as error:
            return failed(error, f"What is in {directory} stays; the same command goes on")
    for line in outcome.lines:
        show(line, sys.stdout)
    if stop.signal is not None:
        show("stopped; the same command goes on", sys.stdout)
        return 128 + stop.signal
    if stopped() and sum(outcome.counts.values()) - outcome.counts["running"] < task.trials:
        show("left for lack of time; the same command goes on", sys.stdout)
    return failed(outcome.problem) if outcome.problem else 0


def _dry_run(task: Task, directory: Path, runs: Mapping[str, PlannedRun], workers: int, said: Sequence[str]) -> int:
    run, *_ = runs.values()
    over = _trials_over(task, directory)
    trials = max(task.trials - over, 0)
    count = trials * len(task.seeds)
    pool = ProcessPool(workers)
    try:
        rates, unknown = measured([run] * max(count, 1), pool)  # beside as many as will run side by side
    finally:
        pool.close()
    if unknown:
        return failed(f"{run.name} cannot be measured: {unknown[speed_key(run)]}")
    for line in [*lines(task.space), *said]:
        result(visible(line))
    each = f"{run.config.total_timesteps:,} steps of {run.config.agent} on {run.config.env}"
    seeds = "" if len(task.seeds) == 1 else f" with each of {len(task.seeds)} seeds"
    time = in_words(seconds_left(run, rates[speed_key(run)], 0) * math.ceil(count / workers))
    early = ", and less as bad ones end early" if task.prune else ""
    there = f" in all, {over} of them over already" if over else ""
    left = f"about {time} with {workers} at a time{early}" if trials else "none is left"
    result(visible(f"{task.trials} trials of {each}{seeds}{there}: {left}"))
    return 0


def _trials_over(task: Task, directory: Path) -> int:
    """Return how many trials of a study that is there already are over; 0 where there is none."""
    if not (directory / STUDY).exists():
        return 0
    try:
        with Study(task, directory) as study_there:
            counts = study_there.counts()
    except TuneError as error:
        raise UsageError(str(error)) from error
    return sum(counts.values()) - counts["running"]
