"""Which run starts when, and which is tried again; the state of each. A sweep is a schedule whose runs are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from rewirl.experiments.sweep.deadline import Deadline
from rewirl.experiments.sweep.executor import Executor, Message
from rewirl.experiments.sweep.plan import PlannedRun, run_status
from rewirl.storage.checkpoint import saved_step
from rewirl.training.progress import Timed

TRIES = 5
"""How often in a row a run may be killed without having saved anything in between."""

_TURN_SECONDS = 0.2
_RETRY_SECONDS = 1.0
_LOCK_SECONDS = 180.0
"""How long to wait for the lock of a killed run: a network file system notices late that a machine is gone."""

OVER = ("finished", "failed", "stopped", "in use", "left out", "no time")


@dataclass
class Row:
    """The state of one run; the view shows it."""

    run: PlannedRun
    state: str = "waiting"
    """"waiting", "running", or one of OVER."""
    reason: str = ""
    evaluations: dict[int, float] = field(default_factory=dict)
    """The mean return of each evaluation that was reported, by step."""
    last_return: float | None = None
    """That of the latest one."""
    last_return_step: int = 0
    """The step after which that was."""
    pace: Timed = field(default_factory=Timed)
    attempted: bool = False
    """Whether this schedule has started the run; one that was finished before is not started."""
    left: bool = False
    """Whether it was asked to save and end before its last step."""
    diverged: bool = False
    """Whether it failed because its values are not finite."""
    kills: int = 0
    """Since its last checkpoint."""
    saved: int | None = None
    """Step of its last checkpoint when it was last started or left."""
    not_before: float = 0.0
    locked_since: float | None = None


class View(Protocol):
    """What a person sees of a sweep."""

    def changed(self, row: Row, text: str) -> None:
        """Report a change of a run that is worth a line."""

    def message(self, text: str) -> None:
        """Report what is no run's alone."""

    def refresh(self, rows: Mapping[str, Row]) -> None:
        """Update the view; called several times a second."""

    def close(self, rows: Mapping[str, Row]) -> None:
        """End the view: the sweep is over."""


def run_sweep(
    runs: Mapping[str, PlannedRun],
    executor: Executor,
    view: View,
    stop: Callable[[], bool],
    deadline: Deadline | None = None,
) -> dict[str, Row]:
    """Execute all runs that are not finished.

    Args:
        runs: by name, source runs before the runs that wait for them.
        executor: executes them; closed at the end.
        view: is told of every change.
        stop: polled; once it is true, all runs are saved and left.
        deadline: when all runs are saved and left anyway; runs that would not end before it are not started.

    Returns:
        The final state of each run, by name: one of OVER, or "waiting" after a stop.
    """
    schedule = Schedule(executor, view, deadline)
    for run in runs.values():
        schedule.add(run)
    with schedule:
        while True:
            if stop() or (deadline is not None and deadline.passed()):
                schedule.stop()
            if not schedule.turn():
                return schedule.rows


class Schedule:
    """Executes runs, to which more may be added; use it as a context manager.

    Args:
        executor: executes them; closed at the end.
        view: is told of every change.
        deadline: says which new runs are not started any more.
    """

    def __init__(self, executor: Executor, view: View, deadline: Deadline | None = None) -> None:
        self.rows: dict[str, Row] = {}
        """The state of each run by name."""
        self.stopping = False
        """Whether all runs are saved and left."""
        self._executor, self._view, self._deadline = executor, view, deadline

    def add(self, run: PlannedRun) -> Row:
        """Add a run, after the one that it waits for; return its state."""
        row = self.rows[run.name] = Row(run)
        status = run_status(run)
        row.pace.begin(status.step, run.config.total_timesteps, run.agent_config.learning_starts)
        if status.state == "finished":
            row.state = "finished"
        return row

    @property
    def free(self) -> int:
        """How many more runs could be executed at the same time, now, once those that wait have started."""
        return self._executor.workers - sum(row.state in ("running", "waiting") for row in self.rows.values())

    def stop(self) -> None:
        """Let all runs be saved and left, and start none any more."""
        if not self.stopping:
            self.stopping = True
            self._executor.stop()

    def leave(self, row: Row) -> None:
        """Let a run be saved and left."""
        row.left = True
        if row.state == "running":
            self._executor.stop(row.run.name)
        elif row.state == "waiting":
            row.state = "stopped"

    def turn(self) -> bool:
        """Start what can start and take in what happened since, for a moment; return whether there is more to do."""
        if not self.stopping:
            self._start()
        running = any(row.state == "running" for row in self.rows.values())
        if not running and (self.stopping or all(row.state in OVER for row in self.rows.values())):
            return False
        for name, message in self._executor.wait(_TURN_SECONDS):
            _receive(self.rows[name], message, self._view, self.stopping)
        self._view.refresh(self.rows)
        return True

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close executor and view."""
        self._executor.close()
        self._view.close(self.rows)

    def _start(self) -> None:
        rows, view = self.rows, self._view
        free = self._executor.workers - sum(row.state == "running" for row in rows.values())
        for row in rows.values():
            if row.state != "waiting":
                continue
            source = None if row.run.after is None else rows[row.run.after]
            if source is not None and source.state == "no time":
                row.state, row.reason = "no time", f"starts from the policy of {source.run.name}, which is not there"
            elif source is not None and source.state == "in use":
                row.state, row.reason = "in use", f"it starts from the policy of {source.run.name}, which is in use"
                view.changed(row, f"skipped: {row.reason}")
            elif source is not None and source.state in OVER and source.state != "finished":
                row.state, row.reason = "left out", f"it starts from the policy of {source.run.name}, {source.state}"
                view.changed(row, f"left out: {row.reason}")
            elif (source is None or source.state == "finished") and free > 0 and time.monotonic() >= row.not_before:
                refusal = "" if self._deadline is None else self._deadline.refusal(row.run)
                if refusal:
                    row.state, row.reason = "no time", refusal
                    continue
                row.state, row.attempted, row.saved = "running", True, saved_step(row.run.path)
                self._executor.start(row.run.name, row.run.values())
                free -= 1


def _receive(row: Row, message: Message, view: View, stopping: bool) -> None:
    if "begin" in message:
        row.locked_since = None
        row.pace.begin(message["begin"], message["total"], row.run.agent_config.learning_starts)
        where = f"continued at step {message['begin']:,}" if message["begin"] else "started"
        view.changed(row, where)
    elif "step" in message:
        row.pace.mark(message["step"])
        if "return" in message:
            row.last_return = row.evaluations[message["step"]] = message["return"]
            row.last_return_step = message["step"]
    elif "message" in message:
        view.changed(row, message["message"])
    elif "ended" in message:
        row.diverged = message.get("diverged", False)
        _end(row, message["ended"], message.get("reason", ""), view, stopping or row.left)


def _end(row: Row, ended: str, reason: str, view: View, stopping: bool) -> None:
    row.reason = reason
    if ended == "finished":
        row.state = "finished"
        row.pace.mark(row.run.config.total_timesteps)
        view.changed(row, "finished")
    elif stopping and ended in ("stopped", "killed", "in use"):
        row.state, row.saved = "stopped", saved_step(row.run.path)
        view.changed(row, f"saved at step {row.saved or 0:,}")
    elif ended in ("stopped", "killed"):  # by somebody else
        _try_again(row, reason or "stopped by a signal", view)
    elif ended == "in use" and row.kills > 0:
        # Its own killed process still holds the lock, or seems to.
        now = time.monotonic()
        row.locked_since = row.locked_since or now
        if now - row.locked_since < _LOCK_SECONDS:
            row.state, row.not_before = "waiting", now + _RETRY_SECONDS
        else:
            row.state = "failed"
            view.changed(row, f"failed: {reason}")
    else:
        row.state = ended
        view.changed(row, f"{'skipped' if ended == 'in use' else ended}: {reason}")


def _try_again(row: Row, reason: str, view: View) -> None:
    saved = saved_step(row.run.path)
    row.kills = 1 if saved != row.saved else row.kills + 1
    if row.kills >= TRIES:
        row.state, row.reason = "failed", f"{reason}, {TRIES} times in a row without a checkpoint in between"
        view.changed(row, f"failed: {row.reason}")
    else:
        row.state = "waiting"
        view.changed(row, f"{reason}; it continues from {f'step {saved:,}' if saved else 'its start'}")
