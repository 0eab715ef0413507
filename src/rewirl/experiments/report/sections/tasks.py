"""Report section: what was reached in each task of an environment that changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report.document import Block, Heading, Table, Text
from rewirl.experiments.report.metrics import final_return, learning_curve_area
from rewirl.experiments.report.pairs import WINDOW
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.words import mean_and_deviation

_MODULE = "rewirl.changing"


def tasks(groups: Sequence[RunGroup], environments: Sequence[str]) -> list[Block]:
    """Return the section on tasks that change; nothing where no environment is another task after some steps.

    Args:
        groups: of all environments.
        environments: their ids, in the order of the report.
    """
    blocks: list[Block] = []
    for env in environments:
        here = [item for item in groups if item.env == env]
        alike: dict[int, list[RunGroup]] = {}
        for item in here:
            if every := _period(item.runs[0]):
                alike.setdefault(every, []).append(item)
        for every, of in sorted(alike.items()):
            blocks += _tables(f"{env}, tasks of {every:,} steps" if len(alike) > 1 else env, of, every)
    if not blocks:
        return []
    text = (
        "The environment is another task after every so many steps. An evaluation plays the task of the latest "
        "training steps. Tasks count that a run went through to the end."
    )
    return [Heading("Tasks that change"), Text(text), *blocks]


def _period(run: RunData) -> int | None:
    """Return the steps of a task; None where there is one task alone, or nothing says how long tasks are."""
    every = run.train["env_kwargs"].get("every")
    return every if run.train.get("env_module") == _MODULE and type(every) is int and every > 0 else None


def _tables(title: str, groups: Sequence[RunGroup], every: int) -> list[Block]:
    """Return a table of the ends of tasks and one of all their evaluations, with a row for each group.

    Args:
        title: what both are of.
        groups: of one environment, with tasks of one length.
        every: steps of a task.
    """
    through = {item.label: item.horizon // every for item in groups}
    most = max(through.values())
    if most < 2:
        return []
    head = ["agent", "runs", *(f"{number * every + 1:,} to {(number + 1) * every:,}" for number in range(most))]
    kinds = (
        (final_return, f"mean of the last {WINDOW} evaluations of each task, or of those it has"),
        (learning_curve_area, "mean of all evaluations of each task"),
    )
    blocks: list[Block] = []
    for summary, words in kinds:
        rows = []
        for item in groups:
            full = item.full()
            cells = ["-"] * most
            for number in range(through[item.label]):
                of_runs = [_within(run, number, every) for run in full]
                if all(map(len, of_runs)):
                    cells[number] = mean_and_deviation([summary(returns.tolist()) for returns in of_runs])
            rows.append([item.label, str(len(full)), *cells])
        blocks.append(Table(f"{title}, by steps of the run: {words}; mean ± standard deviation over runs.", head, rows))
    return blocks


def _within(run: RunData, number: int, every: int) -> NDArray[np.float64]:
    """Return the evaluations of a task: after more than number * every steps, and at most as many as the next one."""
    return run.returns[(run.steps > number * every) & (run.steps <= (number + 1) * every)]
