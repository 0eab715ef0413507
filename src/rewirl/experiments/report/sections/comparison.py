"""Report section: sparse agents compared with dense ones on one environment, or all with a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import aggregates
from rewirl.experiments.report.document import Block, Table, folded
from rewirl.experiments.report.pairs import (
    WINDOW,
    Pair,
    common_step,
    comparable,
    difference,
    share_of_steps,
    stream,
    tested,
    values,
)
from rewirl.experiments.report.run_data import RunData, same_speed
from rewirl.experiments.report.run_groups import RunGroup, area_unit, family
from rewirl.experiments.report.sections.words import (
    MANY,
    Show,
    area,
    both_intervals,
    bounds,
    mean_if_all,
    percent,
    probability,
    seconds_in_words,
    signed,
    signed_area,
)
from rewirl.experiments.report.welch import detectable
from rewirl.printing import number

INTERVALS = ["95% bootstrap", "holds it", "95% Welch", "p"]
"""Head of the columns of `words.both_intervals`, all but the first."""


def with_dense_ones(groups: Sequence[RunGroup]) -> list[tuple[RunGroup, RunGroup]]:
    """Return each sparse group with the dense one that differs by the least options.

    Args:
        groups: of one environment.

    Returns:
        pairs (sparse, dense), in the order of the sparse groups; one that has no dense rival is left out.
    """
    pairs = []
    for item in groups:
        of_family = [other for other in groups if other.dense and family(other.agent) == family(item.agent)]
        rivals = [other for other in of_family if comparable(item, other)]
        if item.dense or not rivals:
            continue
        own = _but_topology(item.options)
        pairs.append((item, min(rivals, key=lambda other: _differing(own, _but_topology(other.options)))))
    return pairs


def _but_topology(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if not key.startswith("topology.")}


def compared(groups: Sequence[RunGroup], baseline: str | None) -> list[tuple[RunGroup, RunGroup]]:
    """Return what is compared: each sparse group with its dense one, or each group with the baseline.

    Args:
        groups: of one environment.
        baseline: label of the group that the others are compared with; None for the dense ones.
    """
    if baseline is None:
        return with_dense_ones(groups)
    rivals = [item for item in groups if item.label == baseline]
    return [(item, rival) for rival in rivals for item in groups if item is not rival and comparable(item, rival)]


def of_other_tasks(groups: Sequence[RunGroup], baseline: str) -> list[str]:
    """Return the labels of the groups whose environment has other arguments or wrappers than the baseline's.

    Args:
        groups: of one environment.
        baseline: see `compared`.
    """
    tasks = [item.task for item in groups if item.label == baseline]
    return [item.label for item in groups if tasks and item.task not in tasks]


def _differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Return in how many options two groups differ."""
    return sum(key not in one or key not in other or one[key] != other[key] for key in {*one, *other})


def improvement_tables(env: str, pairs: Sequence[tuple[RunGroup, RunGroup]], baseline: str | None) -> list[Block]:
    """Return by how much one group of each pair is better than the other, and how probably; of many, finals first.

    Args:
        env: the environment; it also seeds the bootstrap.
        pairs: as `compared` returns them.
        baseline: see there.
    """
    rows = []
    rng = stream("improvement", env)
    for one, other in pairs:
        step = common_step(one, other)
        pair = values(one, other, "final")
        counted = min(map(len, pair))
        samples = [[sample] for sample in pair]
        of_pairs = aggregates.estimate(aggregates.IMPROVEMENT, *samples, rng=rng)
        of_iqm = aggregates.estimate(aggregates.difference_of(aggregates.IQM), *samples, rng=rng)
        unit, area_name = area_unit([one, other])
        areas = values(one, other, "lca")
        in_units = areas[0] / unit, areas[1] / unit
        of_areas = difference(one, other, "lca").in_units(unit)
        start = [f"{one.label} over {other.label}", f"{step:,}", f"{len(pair[0])} and {len(pair[1])}"]
        rows += [
            [
                *start,
                "final return",
                *both_intervals(difference(one, other, "final"), tested([pair]), counted, 2, signed),
                _detectable(pair, number),
            ],
            [*start, "IQM of final returns", *both_intervals(of_iqm, None, counted, 0, signed), "-"],
            [
                *start,
                area_name,
                *both_intervals(of_areas, tested([in_units]), counted, 2, signed_area),
                _detectable(in_units, area),
            ],
            [*start, "probability of improvement", *both_intervals(of_pairs, None, counted, 0, probability), "-"],
        ]
    of_what = "sparse over dense" if baseline is None else f"each over {baseline}"
    caption = (
        f"{env}: {of_what}, as differences, at the steps that both have. A difference is undecided where "
        "Welch's interval contains 0. 'Holds it' is how often a bootstrap interval of so few runs holds the true "
        "value, simulated; p is not corrected for the number of comparisons. 'Detectable' is the true difference that "
        "Welch's test would find in 80% of such comparisons, with these spreads and numbers of runs."
    )
    head = ["comparison", "steps", "runs", "of", "difference", *INTERVALS, "detectable"]
    if len(pairs) <= MANY:
        return [Table(caption, head, rows)]
    finals = [[*row[:3], *row[4:]] for row in rows if row[3] == "final return"]
    others = [row for row in rows if row[3] != "final return"]
    table = Table(f"{env}: other differences, {of_what}.", head, others)
    return [
        Table(caption.replace("differences,", "differences of final returns,"), [*head[:3], *head[4:]], finals),
        *folded(f"{env}: the same of IQM, learning-curve area and probability of improvement", [table]),
    ]


def _detectable(pair: Pair, show: Show) -> str:
    return show(detectable(pair)) if min(map(len, pair)) > 1 else "-"


def reach_table(env: str, pairs: Sequence[tuple[RunGroup, RunGroup]], baseline: str | None) -> Table:
    """Return when one group of each pair reaches the final return of the other.

    Args:
        env: the environment.
        pairs: as `compared` returns them.
        baseline: see there.
    """
    rows, few = [], False
    for one, rival in pairs:
        step = common_step(one, rival)
        level = float(rival.finals(step).mean())
        runs, others = one.full(step), rival.full(step)
        few = few or any(len(run.until(step)) < WINDOW for run in (*runs, *others))
        steps = [_time(run, run.steps, level, step) for run in runs]
        reached = [value for value in steps if math.isfinite(value)]
        share = share_of_steps(one, rival)
        counted = min(len(runs), len(others))
        alone = same_speed((*runs, *others))
        rows.append(
            [
                one.label,
                rival.label,
                f"{step:,}",
                number(level),
                f"{len(reached)} of {len(runs)}",
                mean_if_all(steps),
                percent(share.value),
                bounds(share, counted, percent),
                mean_if_all([_time(run, run.seconds, level, step) for run in runs]) if alone else "-",
                seconds_in_words([at_step(run, "seconds", step) for run in others], alone),
            ]
        )
    other = "dense agent" if baseline is None else "baseline"
    who = (
        "a sparse agent has the final return of the dense one"
        if baseline is None
        else ("an agent has the final return of the baseline")
    )
    return Table(
        f"{env}: steps and seconds until {who}, measured like it, as the mean of {'up to ' if few else ''}{WINDOW} "
        "evaluations. Seconds are shown only where all runs had a core to themselves, on processors of one kind.",
        [
            "agent",
            other,
            "steps compared",
            "return to reach",
            "runs that reach it",
            "steps",
            "share of the steps",
            "95% bootstrap",
            "seconds",
            f"seconds of the {other}",
        ],
        rows,
    )


def at_step(run: RunData, column: str, step: int) -> float:
    """Return the value of a column of a run at its last evaluation up to a step.

    Args:
        run: one that has an evaluation by then.
        column: returns, flops (of training so far) or seconds (of the wall clock).
        step: environment steps.
    """
    in_order: NDArray[np.float64] = getattr(run, column)
    return float(in_order[len(run.until(step)) - 1])


def _time(run: RunData, times: NDArray[Any], level: float, step: int) -> float:
    returns = run.until(step)
    window = min(WINDOW, len(returns))  # as of its final return
    return aggregates.time_to_reach(times.astype(np.float64), returns, level, window)
