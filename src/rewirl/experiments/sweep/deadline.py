"""A sweep with a deadline: which runs can still end before it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rewirl import _core
from rewirl.experiments.sweep.estimate import measured, seconds_left, speed_key
from rewirl.experiments.sweep.executor import Executor
from rewirl.experiments.sweep.measure import Rates
from rewirl.experiments.sweep.plan import PlannedRun, run_status
from rewirl.storage.metrics_log import last_event
from rewirl.storage.provenance import processor
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.training.progress import duration


class Deadline:
    """The end of a sweep, and how long its runs take.

    A run takes as long as the fastest finished one of the same settings on the same processor: slower ones may have
    been paused or had less than a core. Without a finished one, its estimate counts. A run that has begun is always
    continued, because what it learns until the deadline is saved.

    Args:
        runs: of the sweep, by name.
        end: on the clock of `time.monotonic`, in seconds.
        rates: of the settings without a finished run, by `speed_key`.
    """

    def __init__(self, runs: Mapping[str, PlannedRun], end: float, rates: Mapping[bytes, Rates]) -> None:
        self.end = end
        self._rates = rates
        self._same_speed: dict[bytes, list[PlannedRun]] = {}
        for run in runs.values():
            self._same_speed.setdefault(speed_key(run), []).append(run)

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
        """Return how long a run takes from its start to its end."""
        key = speed_key(run)
        paces = [pace for other in self._same_speed[key] if (pace := seconds_per_step(other)) is not None]
        return min(paces) * run.config.total_timesteps if paces else seconds_left(run, self._rates[key], 0)


def deadline_in(hours: float, runs: Mapping[str, PlannedRun], executor: Executor) -> Deadline:
    """Return the deadline of a sweep that begins now; settings without a finished run are measured first.

    Args:
        hours: from now.
        runs: by name.
        executor: will execute them.

    Raises:
        RuntimeError: a setting cannot be measured; says why.
    """
    end = time.monotonic() + hours * 3600
    known = {speed_key(run) for run in runs.values() if seconds_per_step(run) is not None}
    new = [run for run in runs.values() if run_status(run).state == "new" and speed_key(run) not in known]
    return Deadline(runs, end, measured(new, executor))


def seconds_per_step(run: PlannedRun) -> float | None:
    """Return how long a run took per step; None unless it is finished and was made by this kind of processor."""
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
    end = last_event(run.path / "metrics.jsonl")
    seconds, step = end.get("seconds"), end.get("step")
    return seconds / step if isinstance(seconds, float) and isinstance(step, int) and seconds > 0 < step else None
