"""One call of a sweep: until all runs are done, the time is up or a signal comes; then what is left is printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rewirl.experiments.sweep import deadline, table
from rewirl.experiments.sweep.executor import Executor
from rewirl.experiments.sweep.index import write_index
from rewirl.experiments.sweep.plan import PlannedRun, run_status
from rewirl.experiments.sweep.results import results
from rewirl.experiments.sweep.schedule import run_sweep
from rewirl.printing import say, show
from rewirl.training.signals import StopRequest


def run_session(runs: Mapping[str, PlannedRun], executor: Executor, hours: float | None = None) -> int:
    """Execute the runs that are not finished, and print what becomes of them. Their directories get an index.

    Args:
        runs: by name, source runs before the runs that wait for them; checked.
        executor: executes them; closed at the end.
        hours: after which all runs are saved and left; new runs that would take longer are not started. None is no
            limit.

    Returns:
        The exit code: 0, 1 if a run failed, or 128 plus the number of a signal that ended it.
    """
    until = None if hours is None else deadline.deadline_in(hours, runs, executor, lambda text: say(f"rewirl: {text}"))
    _write_indices(runs)
    with StopRequest() as stop:
        rows = run_sweep(runs, executor, table.for_this_terminal(), lambda: bool(stop), until)
    _write_indices(runs)
    show(table.summary(rows), sys.stdout)
    for line in results(runs.values()):
        show(line, sys.stdout)
    if stop.signal is not None:
        show("stopped; the same command goes on", sys.stdout)
        return 128 + stop.signal
    if until is not None:
        for row in rows.values():
            if row.state in ("stopped", "waiting", "no time"):
                begun = "begun" if run_status(row.run).state == "begun" else "not begun"
                reason = row.reason if row.state == "no time" else begun
                show(f"left for lack of time: {row.run.name}: {reason}", sys.stdout)
    for row in rows.values():
        if row.state == "in use":
            show(f"skipped {row.run.name}: {row.reason}", sys.stdout)
    failed = [row for row in rows.values() if row.state in ("failed", "left out")]
    for row in failed:
        say(f"rewirl: {row.run.name} {row.state}: {row.reason}")
    return 1 if failed else 0


def _write_indices(runs: Mapping[str, PlannedRun]) -> None:
    for directory in {run.path.parent for run in runs.values()}:
        write_index(directory, [run for run in runs.values() if run.path.parent == directory])
