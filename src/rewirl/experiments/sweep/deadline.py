"""A sweep with a deadline: which runs can still end before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from rewirl import _core
from rewirl.experiments.sweep.estimate import measured, seconds_left, speed_key
from rewirl.experiments.sweep.executor import Executor
from rewirl.experiments.sweep.measure import Rates
from rewirl.experiments.sweep.plan import PlannedRun, run_status
from rewirl.storage.metrics_log import CONTINUED, last_event, read_metrics
from rewirl.storage.provenance import processor
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.training.progress import duration

Paces = dict[str, float]
"""Seconds per step of finished runs, by name."""


class Deadline:
    """The end of a sweep, and how long its runs take.

    A run takes as long per step as the fastest finished one of the same settings on the same processor: slower ones may
    have been paused or had less than a core. A shorter one does not count: more of it was warm-up. Without a finished
    one, its estimate counts. A run that has begun is always continued, because what it learns until the deadline is
    saved.

    Args:
        runs: of the sweep, by name.
        end: on the clock of `time.monotonic`, in seconds.
        rates: of the settings without a finished run, by `speed_key`; of those that cannot be measured none.
    """

    def __init__(self, runs: Mapping[str, PlannedRun], end: float, rates: Mapping[bytes, Rates]) -> None:
        self.end = end
        self._rates, self._same_speed = rates, _by_speed(runs)
        self._paces: Paces = {}

    def passed(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self.end

    def refusal(self, run: PlannedRun) -> str:
        """Return why a run is no longer started; empty if it is."""
        if run_status(run).state != "new":
            return ""
        needed, left = self.seconds(run), self.end - time.monotonic()
        return f"takes about {duration(needed)}, {duration(max(left, 0))} are left" if needed > left else ""

    def seconds(self, run: PlannedRun) -> float:
        """Return how long a run takes from its start to its end; 0 if nobody knows any more."""
        key = speed_key(run)
        _add_paces(self._paces, self._same_speed[key])
        pace = _pace(run, self._same_speed[key], self._paces)
        if pace is not None:
            return pace * run.config.total_timesteps
        return seconds_left(run, self._rates[key], 0) if key in self._rates else 0.0


def deadline_in(
    hours: float, runs: Mapping[str, PlannedRun], executor: Executor, told: Callable[[str], None] = lambda text: None
) -> Deadline:
    """Return the deadline of a sweep that begins now; settings without a finished run are measured first.

    Args:
        hours: from now.
        runs: by name.
        executor: will execute them.
        told: is called with a sentence about each setting that cannot be measured. Its runs are started all the same:
            what is wrong with them is told of each that fails.
    """
    end = time.monotonic() + hours * 3600
    same = _by_speed(runs)
    paces: Paces = {}
    _add_paces(paces, runs.values())
    new = [run for run in runs.values() if run_status(run).state == "new"]
    unknown = [run for run in new if _pace(run, same[speed_key(run)], paces) is None]
    rates, failed = measured(unknown, executor)
    for key, reason in failed.items():
        told(f"how long {same[key][0].name} takes cannot be measured: {reason}")
    return Deadline(runs, end, rates)


def _by_speed(runs: Mapping[str, PlannedRun]) -> dict[bytes, list[PlannedRun]]:
    same: dict[bytes, list[PlannedRun]] = {}
    for run in runs.values():
        same.setdefault(speed_key(run), []).append(run)
    return same


def _add_paces(paces: Paces, runs: Iterable[PlannedRun]) -> None:
    """Add those of runs that have finished since; of one that is known no file is read again."""
    for run in runs:
        if run.name not in paces and (pace := seconds_per_step(run)) is not None:
            paces[run.name] = pace


def _pace(run: PlannedRun, same: Sequence[PlannedRun], paces: Paces) -> float | None:
    """Return the seconds per step of the fastest finished run of the same settings that is not shorter, or None."""
    long = (other for other in same if other.config.total_timesteps >= run.config.total_timesteps)
    return min((paces[other.name] for other in long if other.name in paces), default=None)


def seconds_per_step(run: PlannedRun) -> float | None:
    """Return how long a run took per step; None unless it is finished and all of it is of this processor."""
    if run_status(run).state != "finished":
        return None
    try:
        with RunDirectory.open(run.path, lock=False) as directory:
            machine = directory.record.get("machine")
    except RunDirectoryError:
        return None
    here = {"cpu": processor(), "instruction_set": _core.instruction_set()}
    if not isinstance(machine, dict) or {name: machine.get(name) for name in here} != here:
        return None
    log = run.path / "metrics.jsonl"
    try:
        if any(line["event"] == CONTINUED for line in read_metrics(log, (CONTINUED,))):
            return None  # a part of it was made elsewhere
    except (ValueError, OSError):
        return None
    end = last_event(log)
    seconds, step = end.get("seconds"), end.get("step")
    return seconds / step if isinstance(seconds, float) and isinstance(step, int) and seconds > 0 < step else None
