"""The trials of one call: their runs, what is reported to Optuna of each, and which of them end early."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewirl.experiments.sweep.plan import PlannedRun, plan, run_status
from rewirl.experiments.sweep.schedule import OVER, Row, Schedule
from rewirl.experiments.tune.study import Study, Task
from rewirl.saved import count, number
from rewirl.storage.checkpoint import saved_step
from rewirl.storage.files import found, remove
from rewirl.storage.metrics_log import read_metrics
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError

_OF_A_TRIAL = re.compile(r"-trial-\d+-")
"""In the name of a run directory."""

LAST = 3
"""How many evaluations a value is the mean of, the latest ones."""


@dataclass
class Trial:
    """A trial that is not over."""

    handle: Any
    """Optuna's."""
    rows: list[Row] = field(default_factory=list)
    """Its runs, one for each seed."""
    reported: int = 0
    """The step of the latest evaluation that was reported in this call."""
    known: frozenset[int] = frozenset()
    """The steps that an earlier call has reported; a run that goes on from a checkpoint may repeat them."""
    problem: str = ""
    """Why it has no run."""
    whole: bool = False
    """Whether other trials, or a sweep, have made all its runs to their ends."""

    def values(self) -> dict[int, float]:
        """Return by step the mean return of all seeds in the latest evaluations, once all have been evaluated there.

        An untrained agent does not count.
        """
        if not self.rows:
            return {}
        starts = self.rows[0].run.agent_config.learning_starts
        common = set.intersection(*(set(row.evaluations) for row in self.rows))
        steps = sorted(step for step in common if step > starts)
        means = [sum(row.evaluations[step] for row in self.rows) / len(self.rows) for step in steps]
        latest = [means[max(0, end - LAST) : end] for end in range(1, len(means) + 1)]
        return {step: sum(some) / len(some) for step, some in zip(steps, latest, strict=True)}


class Trials:
    """The trials that are under way.

    Args:
        task: what is tuned.
        study: where they are kept.
        schedule: executes their runs.
        directory: of the run directories.
    """

    def __init__(self, task: Task, study: Study, schedule: Schedule, directory: Path) -> None:
        self._task, self._study, self._schedule, self._directory = task, study, schedule, directory
        self._rows: dict[str, Row] = {}
        self._read: set[str] = set()
        self.running: list[Trial] = []

    def begin(self, handle: Any, again: bool = False) -> Trial:
        """Begin a trial: its runs are added to the schedule.

        Args:
            handle: Optuna's.
            again: whether an earlier call began it; a process that it left behind may still hold its runs, and save.
        """
        trial = Trial(handle, known=self._study.reported(handle) if again else frozenset())
        self.running.append(trial)
        try:
            runs = plan(self._task.requests(handle.number, handle.params), self._directory)
            trial.rows = [self._row(run) for run in runs.values()]
            for row in trial.rows:
                row.kills = max(row.kills, int(again))  # the lock of a killed run is waited for
            own = f"-trial-{handle.number}-"
            trial.whole = all(row.state == "finished" and own not in row.run.name for row in trial.rows)
        except (ValueError, OSError) as error:
            trial.problem = str(error)
        return trial

    def _row(self, run: PlannedRun) -> Row:
        """Return the state of a run in the schedule, to which it is added unless another trial has sampled the same."""
        row = self._rows.get(run.identity)
        if row is None or row.state == "stopped":
            run = run if row is None else row.run
            if saved_step(run.path) is None and run_status(run).state == "begun":
                _remove(run, "policy")  # of a trial that ended early: a run that has one is not begun anew
            row = self._rows[run.identity] = self._schedule.add(run)
            row.evaluations |= evaluations(row.run.path)
        return row

    def look(self) -> list[tuple[Trial, str, float | None, str]]:
        """Report to Optuna what is new, and end the trials that are over or not worth going on with.

        Returns:
            Each trial that has ended: complete, pruned or failed; its value, and why.
        """
        ended = []
        for trial in list(self.running):
            if not self._schedule.stopping:  # a run may have been left for the sake of an earlier trial
                trial.rows = [self._row(row.run) for row in trial.rows]
            state, why = self._state(trial)
            if state:
                values = trial.values()
                value = values[max(values)] if values else None
                if state == "complete" and value is None:
                    state, why = "failed", "no evaluation after its first update"
                if state != "complete":
                    trial.handle.set_user_attr("why", why)
                self._study.tell(trial.handle, state, value if state == "complete" else None)
                self.running.remove(trial)
                self._leave(trial)
                ended.append((trial, state, value, why))
        return ended

    def _state(self, trial: Trial) -> tuple[str, str]:
        """Return how a trial has ended, and why; nothing while it has not."""
        if trial.problem:
            return "failed", trial.problem
        try:
            for row in trial.rows:
                if row.state == "finished" and row.run.name not in self._read:
                    self._read.add(row.run.name)
                    row.evaluations |= evaluations(row.run.path)  # messages of a lost node may be lost too
        except (ValueError, OSError) as error:
            return "failed", str(error)
        for step, value in trial.values().items():
            if step > trial.reported:
                trial.reported = step
                if step not in trial.known:
                    trial.handle.report(value, step)
                spared = trial.whole or step >= trial.rows[0].run.config.total_timesteps  # nothing is left to save
                if not spared and step >= max(trial.known, default=0) and trial.handle.should_prune():
                    return "pruned", f"worse at step {step:,} than most trials were"
        for row in trial.rows:
            if row.diverged:
                return "pruned", row.reason
            if row.state in ("failed", "in use", "left out"):
                return "failed", row.reason
        return ("complete", "") if all(row.state == "finished" for row in trial.rows) else ("", "")

    def _leave(self, trial: Trial) -> None:
        """Let the runs of a trial that is over be left, where no other trial has them."""
        for row in trial.rows:
            if row.state not in OVER and not any(row in other.rows for other in self.running):
                self._schedule.leave(row)

    def tidy(self) -> None:
        """Remove the checkpoints of runs that no trial needs any more: each holds a replay memory."""
        needed = [row for trial in self.running for row in trial.rows]
        for row in self._schedule.rows.values():
            if row.attempted and row.state in OVER and row not in needed:
                _remove(row.run, "checkpoints")


def _remove(run: PlannedRun, name: str) -> None:
    """Remove a part of a run directory that a trial has made and no process holds.

    Runs that were there before, made by a sweep into the same directory, are left alone.
    """
    part = run.path / name
    if _OF_A_TRIAL.search(run.path.name) and part.is_dir() and not part.is_symlink():
        with contextlib.suppress(RunDirectoryError), RunDirectory.open(run.path):
            remove(part)


def last_evaluations(*trials: Any) -> str:
    """Return of which evaluations the values of complete trials of Optuna's are means: "last 3 evaluations".

    A run of few steps has fewer after its first update, and not all runs need have as many.
    """
    counts = {min(LAST, len(trial.intermediate_values)) for trial in trials}
    most = max(counts)
    return ("last evaluation" if most == 1 else f"last {most} evaluations") + (" or fewer" if len(counts) > 1 else "")


def evaluations(path: Path) -> dict[int, float]:
    """Return the mean return of each evaluation that a run directory has, by step.

    Raises:
        ValueError: its log is damaged.
        OSError: its log cannot be read.
    """
    log = path / "metrics.jsonl"
    if not found(log):
        return {}
    return {
        count(line.get("step"), f"the step of an evaluation in {log}"): number(
            line.get("return_mean"), f"the return of an evaluation in {log}"
        )
        for line in read_metrics(log, ("evaluation",))
    }
