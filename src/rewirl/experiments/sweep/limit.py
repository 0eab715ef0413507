"""A sweep that has so many hours: which runs still fit into what is left of them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rewirl import _core
from rewirl.experiments.sweep.estimate import Rates, measured, seconds_left, setting
from rewirl.experiments.sweep.plan import PlannedRun, standing
from rewirl.experiments.sweep.pool import Place
from rewirl.storage.metrics_log import last_event
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError, processor
from rewirl.training.progress import duration


class Limit:
    """The end of a sweep, and how long its runs take.

    A run takes as long as the quickest finished one of the same settings on the same processor, because some may have
    been halted or had less than a core; where there is none, as long as was estimated. One that has begun always fits:
    what it does until the end is not lost.

    Args:
        runs: of the sweep, by name.
        end: on the clock of `time.monotonic`.
        rates: of the settings of which no run is finished, by `setting`.
    """

    def __init__(self, runs: Mapping[str, PlannedRun], end: float, rates: Mapping[bytes, Rates]) -> None:
        """See the class."""
        self.end = end
        self._rates = rates
        self._alike: dict[bytes, list[PlannedRun]] = {}
        for run in runs.values():
            self._alike.setdefault(setting(run), []).append(run)

    def over(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self.end

    def refusal(self, run: PlannedRun) -> str:
        """Return why a run is not started any more; nothing if it is."""
        if standing(run).state != "new":
            return ""
        needed, left = self.seconds(run), self.end - time.monotonic()
        return f"takes about {duration(needed)}, {duration(max(left, 0))} are left" if needed > left else ""

    def seconds(self, run: PlannedRun) -> float:
        """Return how long a run takes from its start to its end."""
        key = setting(run)
        paces = [pace for other in self._alike[key] if (pace := seconds_per_step(other)) is not None]
        return min(paces) * run.config.total_timesteps if paces else seconds_left(run, self._rates[key], 0)


def limit(runs: Mapping[str, PlannedRun], place: Place, hours: float) -> Limit:
    """Return the limit of a sweep that begins now; settings of which no run is finished are measured first.

    Args:
        runs: by name.
        place: where they will be made.
        hours: until the end.

    Raises:
        RuntimeError: a setting cannot be measured; says why.
    """
    end = time.monotonic() + hours * 3600
    known = {setting(run) for run in runs.values() if seconds_per_step(run) is not None}
    new = [run for run in runs.values() if standing(run).state == "new" and setting(run) not in known]
    return Limit(runs, end, measured(new, place))


def seconds_per_step(run: PlannedRun) -> float | None:
    """Return how long a run took per step, if it is finished and this processor made it."""
    if standing(run).state != "finished":
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
