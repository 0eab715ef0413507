"""Report section: sparse agents compared with dense ones, on one environment and across several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import aggregates, figures
from rewirl.experiments.report.document import Block, Figure, Heading, Table, Text
from rewirl.experiments.report.judge import WINDOW, common_step, difference, share_of_steps, stream
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup, dense_of
from rewirl.experiments.report.sections.words import area, mean_if_all, percent, probability, signed, signed_area, sure
from rewirl.printing import number


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
        rivals = [other for other in groups if other.agent == agent]
        if not rivals:
            continue
        own = {key: value for key, value in item.options.items() if not key.startswith("topology.")}
        pairs.append((item, min(rivals, key=lambda other: _differing(own, other.options))))
    return pairs


def _differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Return in how many options two groups differ."""
    return sum(key not in one or key not in other or one[key] != other[key] for key in {*one, *other})


def improvement_table(env: str, pairs: Sequence[tuple[RunGroup, RunGroup]]) -> Table:
    """Return by how much sparse agents are better than dense ones, and how probably.

    Args:
        env: the environment; it also seeds the bootstrap.
        pairs: as `with_dense_ones` returns them.
    """
    rows = []
    rng = stream("improvement", env)
    for one, other in pairs:
        step = common_step(one, other)
        finals = one.finals(step), other.finals(step)
        counted = min(map(len, finals))
        samples = [[values] for values in finals]
        of_pairs = aggregates.estimate(aggregates.IMPROVEMENT, *samples, rng=rng)
        of_iqm = aggregates.estimate(aggregates.difference_of(aggregates.IQM), *samples, rng=rng)
        rows.append(
            [
                f"{one.label} over {other.label}",
                f"{step:,}",
                f"{len(finals[0])} and {len(finals[1])}",
                sure(difference(one, other, "final"), counted, signed),
                sure(of_iqm, counted, signed),
                sure(difference(one, other, "lca"), counted, signed_area),
                sure(of_pairs, counted, probability),
            ]
        )
    return Table(
        f"{env}: sparse over dense, with 95% intervals. Where one of them has fewer steps, both are compared there. "
        "A difference is undecided if its interval contains 0, a probability if it contains 0.5.",
        [
            "comparison",
            "steps",
            "runs",
            "difference of final returns",
            "difference of IQMs",
            "difference of LCA / 5,000",
            "probability of improvement",
        ],
        rows,
    )


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
        runs = one.full(step)
        steps = [_time(run, run.steps, level, step) for run in runs]
        seconds = [_time(run, run.seconds, level, step) for run in runs]
        reached = [value for value in steps if math.isfinite(value)]
        share = share_of_steps(one, other)
        rows.append(
            [
                one.label,
                f"{number(level)} ({other.label}, {step:,} steps)",
                f"{len(reached)} of {len(runs)}",
                mean_if_all(steps),
                sure(share, min(len(runs), len(other.full(step))), percent),
                mean_if_all(seconds),
                number(float(np.mean([at_step(run, "seconds", step) for run in other.full(step)]))),
            ]
        )
    return Table(
        f"{env}: steps and seconds until a sparse agent has the final return of the dense one, measured like it, as "
        f"the mean of {WINDOW} evaluations. For seconds see the table above.",
        [
            "agent",
            "return to reach",
            "runs that reach it",
            "steps",
            "share of the steps (95% interval)",
            "seconds",
            "seconds of the dense agent",
        ],
        rows,
    )


def across(groups: Sequence[RunGroup], environments: Sequence[str], style: figures.Style) -> list[Block]:
    """Return the section on all environments together, empty if there is one.

    Args:
        groups: of all environments.
        environments: their ids, in the order of the report.
        style: colours of the labels.
    """
    if len(environments) < 2:
        return []
    blocks: list[Block] = [Heading("Across environments")]
    # Scores in units of the dense agent's mean final return, of each pair at the step that both reach.
    families: dict[tuple[str, str], dict[str, dict[str, NDArray[np.float64]]]] = {}
    for env in environments:
        for one, other in with_dense_ones([item for item in groups if item.env == env]):
            step = common_step(one, other)
            unit = other.finals(step).mean()
            if unit <= 0:
                continue
            family = families.setdefault((one.label, other.label), {"sparse": {}, "dense": {}})
            family["sparse"][env], family["dense"][env] = one.finals(step) / unit, other.finals(step) / unit
    rows, series = [], {}
    for (label, dense), family in families.items():
        if len(family["sparse"]) < 2:
            continue
        samples = [list(family["sparse"].values()), list(family["dense"].values())]
        rng = stream("across", label)
        counted = min(len(task) for sample in samples for task in sample)
        rows.append(
            [
                label,
                ", ".join(family["sparse"]),
                sure(aggregates.estimate(aggregates.IQM, samples[0], rng=rng), counted, area),
                sure(aggregates.estimate(aggregates.MEAN, samples[0], rng=rng), counted, area),
                sure(aggregates.estimate(aggregates.IMPROVEMENT, *samples, rng=rng), counted, probability),
            ]
        )
        top = max(1.2, 1.05 * max(task.max() for sample in samples for task in sample))
        thresholds = np.linspace(0, top, 121)
        for name, sample in ((label, samples[0]), (dense, samples[1])):
            if name not in series:
                low, high = aggregates.interval(aggregates.profile_at(thresholds), sample, rng=rng, replicates=2000)
                series[name] = (thresholds, aggregates.performance_profile(sample, thresholds), low, high)
    if not rows:
        text = "No sparse agent can be compared with its dense one, in positive returns, on two environments or more."
        return [*blocks, Text(text)]
    alt = (
        "Performance profile: the share of runs whose final return, in units of the dense agent's mean, is above the "
        "value on the axis. Bands are 95% intervals. Shown are " + ", ".join(series) + "."
    )
    svg = figures.lines(series, [], style, "final return / dense agent's mean", "share of runs above", (-0.02, 1.02))
    return [
        *blocks,
        Table(
            "Final returns in units of the dense agent's mean on the same environment, with 95% intervals.",
            ["agent", "environments", "IQM", "mean", "probability of improvement over dense"],
            rows,
        ),
        Figure(svg, "Performance profile", alt),
    ]


def at_step(run: RunData, column: str, step: int) -> float:
    """Return the value of a column of a run at its last evaluation up to a step.

    Args:
        run: one that has an evaluation by then.
        column: returns, flops (of training so far) or seconds (of the wall clock).
        step: environment steps.
    """
    values: NDArray[np.float64] = getattr(run, column)
    return float(values[len(run.until(step)) - 1])


def _time(run: RunData, times: NDArray[Any], level: float, step: int) -> float:
    return aggregates.time_to_reach(times.astype(np.float64), run.until(step), level, WINDOW)
