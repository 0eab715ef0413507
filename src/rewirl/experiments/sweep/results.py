"""What a sweep came to: a table of its groups of runs, and the command for the whole report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rewirl.experiments.report.labels import module_of
from rewirl.experiments.report.pairs import WINDOW
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import RunGroup, group_runs
from rewirl.experiments.report.sections.environment import few_evaluations
from rewirl.experiments.report.sections.words import mean_and_deviation
from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.printing import from_here, program

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
    shorter = [f"{run.name} (at {run.last:,})" for item in groups for run in item.runs if run.last < item.horizon]
    lines += [f"not counted, as runs of their group have more steps: {', '.join(shorter)}"] if shorter else []
    places = " ".join(from_here(path) for path in dict.fromkeys(path.parent for path in paths))
    modules = dict.fromkeys(filter(None, (module_of(item.agent) for item in groups)))
    own = " ".join(["", "--agent-module", *modules]) if modules else ""  # what the table is of, the report is not told
    return [*lines, *_what_it_is(groups), f"curves, intervals and all numbers: {program()} report {places}{own}"]


def _what_it_is(groups: Sequence[RunGroup]) -> list[str]:
    """Return in lines what a final return is, and of which groups it is something else."""
    few: dict[str, list[str]] = {}
    for item in groups:
        few.setdefault(few_evaluations(item), []).append(f"{item.label} on {item.env}")
    usual = f"final return: mean of a run's last {WINDOW} evaluations, ± standard deviation over runs"
    exceptions = [
        f"here: {text}" if len(few) == 1 else f"of {'; '.join(labels)}: {text}" for text, labels in few.items() if text
    ]
    return [f"{usual}; the return that a run ends with above is its last evaluation alone", *exceptions]
