"""What a sweep came to: a table of its groups of runs, and the command for the whole report."""

from __future__ import annotations

from collections.abc import Iterable

from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import group_runs
from rewirl.experiments.report.sections.words import mean_and_deviation
from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.printing import program, quoted_path

_HEAD = ("agent", "environment", "runs", "steps", "final return")


def results(runs: Iterable[PlannedRun]) -> list[str]:
    """Return the table and the command as lines; none where no run has an evaluation.

    A final return is what the report calls so: the mean of a run's last 10 evaluations. Runs that cannot be read are
    left out.

    Args:
        runs: of the sweep, begun or not.
    """
    paths = [run.path for run in runs if run.path.is_dir()]
    groups, _ = group_runs(find_runs(paths)[0])
    if not groups:
        return []
    rows = [
        (item.label, item.env, str(len(item.full())), f"{item.horizon:,}", mean_and_deviation(item.finals()))
        for item in groups
    ]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (_HEAD, *rows)
    ]
    places = " ".join(quoted_path(path) for path in dict.fromkeys(path.parent for path in paths))
    return [*lines, f"curves, intervals and all numbers: {program()} report {places}"]
