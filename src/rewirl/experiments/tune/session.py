"""One call for a study: until it has its trials, the time is up or a signal comes; then what came of it is printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewirl.experiments.sweep.executor import Executor
from rewirl.experiments.sweep.index import write_index
from rewirl.experiments.sweep.schedule import Schedule, View
from rewirl.experiments.tune.best import write_best
from rewirl.experiments.tune.space import sampled_values
from rewirl.experiments.tune.study import Study, Task
from rewirl.experiments.tune.trials import Trials, last_evaluations
from rewirl.printing import from_here, number, program

_HOPELESS = 5
"""So many failed trials, and none that did not fail, end a study."""
_SHOWN = 5
_LINE = "\n"


@dataclass(frozen=True)
class Outcome:
    """What came of a call."""

    counts: Mapping[str, int]
    """How many trials are complete, pruned, failed and running."""
    best: Path | None
    """The best one as a preset; None where none is complete."""
    lines: list[str]
    """What there is to say of it."""
    problem: str = ""
    """Why the study was given up."""


def study(task: Task, directory: Path, executor: Executor, view: View, stop: Callable[[], bool]) -> Outcome:
    """Make the trials of a study that are not over yet.

    Args:
        task: what is tuned.
        directory: of the study and its runs; one that has the study already goes on.
        executor: executes the runs; closed at the end.
        view: is told of every change.
        stop: polled; once it is true, all runs are saved and left.

    Raises:
        TuneError: Optuna is not installed, or the directory cannot be used.
        StudyError: the study cannot be written any more.
        OSError: the preset cannot be written.
    """
    with Schedule(executor, view) as schedule, Study(task, directory) as kept, kept.faults_in_words():
        problem = _make_trials(task, directory, schedule, kept, view, stop)
        return _outcome(task, kept, directory, problem)


def _make_trials(
    task: Task, directory: Path, schedule: Schedule, kept: Study, view: View, stop: Callable[[], bool]
) -> str:
    """Make the trials; return why the study was given up, "" where it was not."""
    trials = Trials(task, kept, schedule, directory)
    for handle in kept.under_way():
        trials.begin(handle, again=True)
    left, problem, more = task.trials - kept.begun(), "", True
    while True:
        if stop():
            schedule.stop()
        for trial, state, value, why in trials.look():
            view.message(_ended(task, trial.handle, state, value, why))
            if state == "complete":
                write_best(task, kept.complete()[0], kept.begun(), directory)
            counts = kept.counts()
            if counts["failed"] >= _HOPELESS and not counts["complete"] + counts["pruned"]:
                problem = f"all {counts['failed']} trials failed, the last one because {why}"
        if left > 0 and schedule.free > 0 and not schedule.stopping and not problem:
            left -= 1
            trials.begin(kept.ask())
            continue  # its runs may be over already, and then Optuna is told before it is asked again
        trials.tidy()
        if not more and (schedule.stopping or (not trials.running and (left <= 0 or problem))):
            return problem
        more = schedule.turn()


def until(hours: float | None, stop: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that is true once `stop` is, or the hours are over; None is no limit."""
    end = float("inf") if hours is None else time.monotonic() + 3600 * hours
    return lambda: stop() or time.monotonic() >= end


def _outcome(task: Task, study: Study, directory: Path, problem: str) -> Outcome:
    counts, complete = study.counts(), study.complete()
    states = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    there = sum(counts.values())  # a study may have had more trials than are asked for now
    lines = [f"{there} of {max(task.trials, there)} trials: {states or 'none begun'}"]
    path = None
    if complete:
        path = write_best(task, complete[0], sum(counts.values()), directory)
        lines += [_ended(task, trial, "complete", trial.value, "") for trial in complete[:_SHOWN]]
        over = "" if len(task.seeds) == 1 else f" and all {len(task.seeds)} seeds"
        lines.append(
            f"return of a trial: mean over its {last_evaluations(*complete)}{over}, of the trained agent; what a run "
            "ends with above is its last evaluation alone"
        )
        lines.append(f"the best is a preset: {program()} train --preset {from_here(path)}")
    write_index(directory)
    return Outcome(counts, path, lines, problem)


def _ended(task: Task, trial: Any, state: str, value: float | None, why: str) -> str:
    values = ", ".join(
        f"{name.replace('_', '-')} {_shown(each)}" for name, each in sampled_values(task.space, trial.params).items()
    )
    result = "" if value is None else f", return {number(value, least=1)}"
    ending = "" if state == "complete" else f" {state}"
    return f"trial {trial.number}{ending}{result}: {values}{f' ({why.partition(_LINE)[0]})' if why else ''}"


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
