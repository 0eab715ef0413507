"""Report section: sparse agents compared with dense ones on one environment."""

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
    common_step,
    comparable,
    difference,
    share_of_steps,
    stream,
    tested,
    values,
)
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup, area_unit, dense_of
from rewirl.experiments.report.sections.words import (
    MANY,
    both_intervals,
    bounds,
    mean_if_all,
    percent,
    probability,
    seconds_in_words,
    signed,
    signed_area,
)
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
        agent = dense_of(item.agent)
        rivals = [other for other in groups if other.agent == agent and comparable(item, other)]
        if not rivals:
            continue
        own = {key: value for key, value in item.options.items() if not key.startswith("topology.")}
        pairs.append((item, min(rivals, key=lambda other: _differing(own, other.options))))
    return pairs


def _differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Return in how many options two groups differ."""
    return sum(key not in one or key not in other or one[key] != other[key] for key in {*one, *other})


def improvement_tables(env: str, pairs: Sequence[tuple[RunGroup, RunGroup]]) -> list[Block]:
    """Return by how much sparse agents are better than dense ones, and how probably; of many, final returns first.

    Args:
        env: the environment; it also seeds the bootstrap.
        pairs: as `with_dense_ones` returns them.
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
            ],
            [*start, "IQM of final returns", *both_intervals(of_iqm, None, counted, 0, signed)],
            [*start, area_name, *both_intervals(of_areas, tested([in_units]), counted, 2, signed_area)],
            [*start, "probability of improvement", *both_intervals(of_pairs, None, counted, 0, probability)],
        ]
    caption = (
        f"{env}: sparse over dense, as differences, at the steps that both have. A difference is undecided where "
        "Welch's interval contains 0. 'Holds it' is how often a bootstrap interval of so few runs holds the true "
        "value, simulated; p is not corrected for the number of comparisons."
    )
    head = ["comparison", "steps", "runs", "of", "difference", *INTERVALS]
    if len(pairs) <= MANY:
        return [Table(caption, head, rows)]
    finals = [[*row[:3], *row[4:]] for row in rows if row[3] == "final return"]
    others = [row for row in rows if row[3] != "final return"]
    table = Table(f"{env}: other differences, sparse over dense.", head, others)
    return [
        Table(caption.replace("differences,", "differences of final returns,"), [*head[:3], *head[4:]], finals),
        *folded(f"{env}: the same of IQM, learning-curve area and probability of improvement", [table]),
    ]


def reach_table(env: str, pairs: Sequence[tuple[RunGroup, RunGroup]]) -> Table:
    """Return when sparse agents reach the final return of dense ones.

    Args:
        env: the environment.
        pairs: as `with_dense_ones` returns them.
    """
    rows = []
    for one, other in pairs:
        step = common_step(one, other)
        level = float(other.finals(step).mean())
        runs, others = one.full(step), other.full(step)
        steps = [_time(run, run.steps, level, step) for run in runs]
        reached = [value for value in steps if math.isfinite(value)]
        share = share_of_steps(one, other)
        counted = min(len(runs), len(others))
        alone = all(run.alone for run in (*runs, *others))
        rows.append(
            [
                one.label,
                other.label,
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
    return Table(
        f"{env}: steps and seconds until a sparse agent has the final return of the dense one, measured like it, as "
        f"the mean of {WINDOW} evaluations. Seconds are shown only where all runs had a core to themselves.",
        [
            "agent",
            "dense agent",
            "steps compared",
            "return to reach",
            "runs that reach it",
            "steps",
            "share of the steps",
            "95% bootstrap",
            "seconds",
            "seconds of the dense agent",
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
    return aggregates.time_to_reach(times.astype(np.float64), run.until(step), level, WINDOW)
