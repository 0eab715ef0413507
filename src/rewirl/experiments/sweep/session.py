"""One call of a sweep: until all runs are done, the time is up or a signal comes; and what is left then."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rewirl.experiments.sweep import limit, table
from rewirl.experiments.sweep.conduct import conduct
from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.experiments.sweep.pool import Place
from rewirl.training.signals import StopRequest


def work_through(runs: Mapping[str, PlannedRun], place: Place, hours: float | None = None) -> int:
    """Make the runs that are not finished, and print what becomes of them.

    Args:
        runs: by name, those that others wait for before them; checked.
        place: where they are made; closed in the end.
        hours: after which they are saved and left; new runs that would take longer are not started. None is no limit.

    Returns:
        The exit code: 0, 1 if a run failed, or 128 plus the number of a signal that ended it.
    """
    try:
        until = None if hours is None else limit.limit(runs, place, hours)
    except RuntimeError as error:
        print(f"rewirl: {error}", file=sys.stderr)
        place.close()
        return 1
    with StopRequest() as stop:
        rows = conduct(runs, place, table.for_this_terminal(), lambda: bool(stop), until)
    print(table.summary(rows))
    if stop.signal is not None:
        print("stopped; the same command goes on")
        return 128 + stop.signal
    if until is not None:
        for row in rows.values():
            if row.state in ("stopped", "waiting", "no time"):
                reason = row.reason if row.state == "no time" else "begun" if row.made else "not begun"
                print(f"left for lack of time: {row.run.name}: {reason}")
    for row in rows.values():
        if row.state == "in use":
            print(f"skipped {row.run.name}: {row.reason}")
    failed = [row for row in rows.values() if row.state in ("failed", "left out")]
    for row in failed:
        print(f"rewirl: {row.run.name} {row.state}: {row.reason}", file=sys.stderr)
    return 1 if failed else 0
