"""Report section: the runs on one environment, as curves and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import aggregates, figures, published
from rewirl.experiments.report.document import Block, Figure, Heading, Items, Table, Text
from rewirl.experiments.report.judge import WINDOW, stream
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.comparison import at_step, improvement_table, reach_table, with_dense_ones
from rewirl.experiments.report.sections.words import (
    STEPS,
    TIMES,
    area,
    bounds,
    interval,
    mean_and_deviation,
    runs_in_words,
    unit_of,
)
from rewirl.printing import number

SMOOTH = 5
"""Evaluations in the running mean of a drawn curve."""


def on_environment(env: str, groups: Sequence[RunGroup], style: figures.Style) -> list[Block]:
    """Return the section on one environment.

    Args:
        env: its id.
        groups: those on it, at least one.
        style: colours of the labels.
    """
    blocks: list[Block] = [Heading(env)]
    blocks += _curves(env, groups, style)
    blocks.append(_final_table(env, groups))
    blocks += _few_evaluations(groups)
    blocks.append(_cost_table(env, groups))
    pairs = with_dense_ones(groups)
    if pairs:
        blocks += [improvement_table(env, pairs), reach_table(env, pairs)]
    else:
        blocks.append(Text(f"On {env} there are no runs of a sparse agent and of its dense one to compare."))
    return blocks


def _curves(env: str, groups: Sequence[RunGroup], style: figures.Style) -> list[Block]:
    steps = max(item.total for item in groups)
    seconds = max(float(run.seconds[-1]) for item in groups for run in item.runs)
    axes: list[tuple[str, str, Callable[[RunData], NDArray[Any]], float, str]] = [
        ("Return against steps", *unit_of("environment steps", steps, lambda run: run.steps, STEPS), ""),
        ("Return against arithmetic", "training FLOPs (10¹²)", lambda run: run.flops, 1e12, ""),
        (
            "Return against time",
            *unit_of("wall-clock time", seconds, lambda run: run.seconds, TIMES),
            " Time is comparable only between runs that were timed alone on the same machine.",
        ),
    ]
    blocks: list[Block] = []
    for title, axis, of, unit, more in axes:
        series, thin = {}, []
        for item in groups:
            full = item.full()
            length = min(len(run.until(item.horizon)) for run in full)
            returns = np.stack([_smooth(run.returns[:length]) for run in full])
            at = np.mean([of(run)[:length] for run in full], axis=0) / unit
            series[item.label] = figures.spread(at, returns)
            thin += [(item.label, of(run) / unit, _smooth(run.returns)) for run in item.runs if run.last < item.horizon]
        ends = "; ".join(
            f"{item.label}: {number(float(np.mean(item.finals())))} at {item.horizon:,} steps "
            f"({runs_in_words(len(item.full()))})"
            for item in groups
        )
        alt = (
            f"{title} on {env}: mean over runs with a band of one standard deviation, running mean of {SMOOTH} "
            f"evaluations; thin lines are single runs cut short. Final returns: {ends}.{more}"
        )
        svg = figures.lines(series, thin, style, axis, "evaluation return")
        blocks.append(Figure(svg, title, alt))
    rng = stream("points", env)
    positions = {
        item.label: (item.parameters / 1e3, aggregates.estimate(aggregates.MEAN, [item.finals()], rng=rng))
        for item in groups
    }
    alt = f"Final return on {env} against the connections of actor and critics, with 95% intervals: " + "; ".join(
        f"{label}: {at:,.0f} thousand, {interval(estimate)}" for label, (at, estimate) in positions.items()
    )
    svg = figures.points(positions, style, "connections (thousands)", "final return")
    return [*blocks, Figure(svg, "Return against connections", alt + ".")]


def _final_table(env: str, groups: Sequence[RunGroup]) -> Table:
    rows = []
    rng = stream("final", env)
    for item in groups:
        finals, areas = item.finals(), item.areas() / 5000
        paper = published.number(item.preset, env)
        counted = len(finals)
        of_mean = aggregates.estimate(aggregates.MEAN, [finals], rng=rng)
        rows.append(
            [
                item.label,
                f"{item.horizon:,}",
                str(counted),
                mean_and_deviation(finals),
                bounds(of_mean, counted),
                number(aggregates.iqm([finals])),
                "-"
                if paper is None
                else f"{paper.final:,.0f}" + ("" if paper.final_std is None else f" ± {paper.final_std:,.0f}"),
                mean_and_deviation(areas, area),
                bounds(aggregates.estimate(aggregates.MEAN, [areas], rng=rng), counted, area),
                "-" if paper is None else f"{paper.lca:.3f}",
            ]
        )
    return Table(
        f"{env}: final return and learning-curve area (LCA / 5,000), mean ± standard deviation over runs, 95% "
        "intervals of the mean. The paper's numbers are of the v3 task, 1,000,000 steps and 5 seeds: compare agents "
        "with each other, not columns to the digit.",
        [
            "agent",
            "steps",
            "runs",
            "final return",
            "95% interval",
            "IQM",
            "paper",
            "LCA / 5,000",
            "95% interval",
            "paper",
        ],
        rows,
    )


def _few_evaluations(groups: Sequence[RunGroup]) -> list[Block]:
    """Say of which groups a final return is of too few evaluations, or not of trained policies alone."""
    items = []
    for item in groups:
        counts = [len(run.until(item.horizon)) for run in item.full()]
        few = min(counts) < WINDOW
        untrained = any(run.steps[0] == 0 and count <= WINDOW for run, count in zip(item.full(), counts, strict=True))
        if few or untrained:
            text = f"{item.label}: the final return is the mean of {min(min(counts), WINDOW)} evaluations"
            items.append(text + (", that of the untrained policy at step 0 among them." if untrained else " only."))
    return [Items(items)] if items else []


def _cost_table(env: str, groups: Sequence[RunGroup]) -> Table:
    rows = []
    for item in groups:
        full = item.full()
        flops, seconds = ([at_step(run, of, item.horizon) for run in full] for of in ("flops", "seconds"))
        rows.append(
            [
                item.label,
                f"{item.horizon:,}",
                f"{item.parameters:,.0f}",
                f"{np.mean(flops):.3g}",
                mean_and_deviation(seconds),
                ", ".join(sorted({str(run.train.get("threads", "?")) for run in full})),
            ]
        )
    return Table(
        f"{env}: what training takes. FLOPs count the products of forward and backward passes as Evci et al. 2020. "
        "Seconds are the wall clock's, with acting, learning and evaluating; they say something about speed only if "
        "the runs had the same machine to themselves.",
        ["agent", "steps", "connections", "FLOPs", "seconds", "threads"],
        rows,
    )


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the running mean over the last SMOOTH values, over fewer at the start, float64 [evaluations]."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - SMOOTH, 0)
    result: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return result
