"""Report section: the runs on one environment, as curves and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import aggregates, figures
from rewirl.experiments.report.document import Block, Figure, Heading, Items, Table, Text
from rewirl.experiments.report.pairs import WINDOW, stream
from rewirl.experiments.report.published_curves import PublishedCurve
from rewirl.experiments.report.run_data import RunData, same_speed
from rewirl.experiments.report.run_groups import RunGroup, area_unit
from rewirl.experiments.report.sections.comparison import (
    at_step,
    compared,
    improvement_tables,
    of_other_tasks,
    reach_table,
)
from rewirl.experiments.report.sections.published_curves import published_table
from rewirl.experiments.report.sections.words import (
    STEPS,
    TIMES,
    area,
    both_intervals,
    figure_of,
    legend_of,
    mean_and_deviation,
    seconds_in_words,
    unit_of,
)
from rewirl.experiments.report.welch import welch
from rewirl.printing import counted, number

SMOOTH = 5
"""Evaluations in the running mean of a drawn curve."""


def on_environment(
    env: str,
    groups: Sequence[RunGroup],
    style: figures.Style,
    published: Sequence[PublishedCurve] = (),
    baseline: str | None = None,
) -> list[Block]:
    """Return the section on one environment.

    Args:
        env: its id.
        groups: those on it, at least one.
        style: colours of the labels.
        published: curves of others on the same task.
        baseline: label of the group that the others are compared with; None compares sparse agents with dense ones.
    """
    blocks: list[Block] = [Heading(env)]
    blocks += _curves(env, groups, style, published)
    blocks += published_table(env, published)
    blocks += _result_tables(env, groups)
    blocks += _few_evaluations(groups)
    blocks += _other_intervals(groups)
    blocks.append(_cost_table(env, groups))
    pairs = compared(groups, baseline)
    if pairs:
        blocks += [*improvement_tables(env, pairs, baseline), reach_table(env, pairs, baseline)]
    else:
        what = "a sparse agent and of its dense one" if baseline is None else f"{baseline} and of another agent"
        blocks.append(Text(f"On {env} there are no runs of {what} to compare."))
    if baseline is not None and (others := of_other_tasks(groups, baseline)):
        blocks.append(Text(f"Not compared with {baseline}, for their environments have other arguments or wrappers:"))
        blocks.append(Items(others))
    return blocks


def curves_against_steps(
    env: str, groups: Sequence[RunGroup], style: figures.Style, published: Sequence[PublishedCurve] = ()
) -> Figure:
    """Return the learning curves of some groups.

    Args:
        env: the environment of all of them.
        groups: at least one.
        style: colours of the labels.
        published: curves of others on the same task.
    """
    steps = max(item.total for item in groups)
    axis, unit = unit_of("environment steps", steps, STEPS)
    return _curve(env, groups, style, env, axis, lambda run: run.steps, unit, published=published)


def _curves(
    env: str, groups: Sequence[RunGroup], style: figures.Style, published: Sequence[PublishedCurve]
) -> list[Block]:
    seconds = max(float(run.seconds[-1]) for item in groups for run in item.runs)
    blocks: list[Block] = []
    if any(item.published is None for item in groups):
        blocks.append(curves_against_steps(env, groups, style, published))
    if same_speed(run for item in groups for run in item.runs):
        axis, unit = unit_of("wall-clock time", seconds, TIMES)
        blocks.append(_curve(env, groups, style, "Return against time", axis, lambda run: run.seconds, unit))
    title, axis_of_flops = "Return against arithmetic", "training FLOPs (10¹²)"
    with_flops = [item for item in groups if not np.isnan(item.runs[0].flops).any()]
    if with_flops:
        blocks.append(_curve(env, with_flops, style, title, axis_of_flops, lambda run: run.flops, 1e12))
    rng = stream("points", env)
    positions = {
        item.label: (item.parameters / 1e3, aggregates.estimate(aggregates.MEAN, [item.finals()], rng=rng))
        for item in groups
    }
    alt = f"{env}: final return against the connections of actor and critics, with 95% intervals by bootstrap."
    draw = partial(figures.points, positions, style, "connections (thousands)", "final return")
    blocks.append(figure_of(draw, len(groups), "Return against connections", alt))
    return [*legend_of([item.label for item in groups], style), *blocks]


def _curve(
    env: str,
    groups: Sequence[RunGroup],
    style: figures.Style,
    title: str,
    axis: str,
    of: Callable[[RunData], NDArray[Any]],
    unit: float,
    published: Sequence[PublishedCurve] = (),
) -> Figure:
    """Return a figure of returns against a column of the runs, in some unit; published curves are against steps."""
    series, thin = {}, []
    for item in groups:
        full = item.full()
        # A run that was extended may have been evaluated at other steps: the mean is of those that all have.
        common = reduce(np.intersect1d, [run.steps[run.steps <= item.horizon] for run in full])
        alone = [run for run in item.runs if run.last < item.horizon or not len(common)]
        if len(common):
            there = [np.isin(run.steps, common) for run in full]
            returns = np.stack([_smooth(run.returns[at]) for run, at in zip(full, there, strict=True)])
            positions = np.mean([of(run)[at] for run, at in zip(full, there, strict=True)], axis=0) / unit
            series[item.label] = figures.spread(positions, returns)
        thin += [(item.label, of(run) / unit, _smooth(run.returns)) for run in alone]
    counts = sorted({len(item.full()) for item in groups})
    runs = counted(counts[0], "run") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"
    alt = (
        f"{'Return on ' if title == env else ''}{env}: mean over {runs} with a band of one standard deviation, running "
        f"mean of {SMOOTH} evaluations."
    )
    alt += " Thin lines are single runs cut short." if thin else ""
    if published:
        sources = ", ".join(dict.fromkeys(curve.source.partition(":")[0] for curve in published))
        alt += f" Grey, with a mark at every point: published by others ({sources})."
    of_others = {
        curve.label: (curve.steps / unit, curve.mean, curve.mean - curve.deviation, curve.mean + curve.deviation)
        for curve in published
    }
    draw = partial(figures.lines, series, thin, style, axis, "evaluation return", published=of_others)
    return figure_of(draw, 0 if published else len(groups), title, alt)  # the page's legend has no curves of others


def _result_tables(env: str, groups: Sequence[RunGroup]) -> list[Block]:
    unit, area_name = area_unit(groups)
    rng = stream("final", env)
    finals, areas = [], []
    for item in groups:
        start = [item.label, f"{item.horizon:,}", str(len(item.full()))]
        samples = item.finals(), item.areas() / unit
        final = [
            *start,
            mean_and_deviation(samples[0]),
            *_of_mean(samples[0], rng),
            number(aggregates.iqm([samples[0]])),
        ]
        lca = [*start, mean_and_deviation(samples[1], area), *_of_mean(samples[1], rng, area)]
        finals.append(final)
        areas.append(lca)
    head = ["agent", "steps", "runs"]
    intervals = ["95% bootstrap", "holds it", "95% Student"]
    return [
        Table(
            f"{env}: final return, mean ± standard deviation over runs, with intervals of the mean.",
            [*head, "final return", *intervals, "IQM"],
            finals,
        ),
        Table(
            f"{env}: learning-curve area, mean ± standard deviation over runs, with intervals of the mean.",
            [*head, area_name, *intervals],
            areas,
        ),
    ]


def _of_mean(sample: NDArray[np.float64], rng: np.random.Generator, show: Callable[..., str] = number) -> list[str]:
    """Return the intervals of a mean as cells."""
    by_bootstrap = aggregates.estimate(aggregates.MEAN, [sample], rng=rng)
    test = welch([sample], [1.0]) if len(sample) > 1 else None
    return both_intervals(by_bootstrap, test, len(sample), 1, show)[1:4]


def _few_evaluations(groups: Sequence[RunGroup]) -> list[Block]:
    """Say of which groups a final return is of too few evaluations, or not of trained policies alone."""
    words = {item.label: few_evaluations(item) for item in groups}
    items = [f"{label}: the final return is the mean of {text}." for label, text in words.items() if text]
    return [Items(items)] if items else []


def _other_intervals(groups: Sequence[RunGroup]) -> list[Block]:
    """Say which groups were evaluated how often, where they differ: as many evaluations are of other steps then."""
    labels: dict[str, list[str]] = {}
    for item in groups:
        labels.setdefault(str(item.runs[0].train.get("eval_every")), []).append(item.label)
    if len(labels) < 2:
        return []
    words = [f"every {every} steps: {'; '.join(of)}." for every, of in labels.items()]
    text = f"Evaluations are at different intervals, so final returns are of the last {WINDOW} over different steps:"
    return [Text(text), Items(words)]


def few_evaluations(item: RunGroup) -> str:
    """Return which evaluations final returns of a group are of, where they are few or not of trained policies alone.

    Args:
        item: the group.
    """
    counts = [len(run.until(item.horizon)) for run in item.full()]
    ends = list(zip(item.full(), counts, strict=True))
    untrained = max(int(np.sum(run.updates[:count][-WINDOW:] == 0)) for run, count in ends)
    if min(counts) >= WINDOW and not untrained:
        return ""
    among = f", {untrained} of them of the untrained policy" if untrained else " only"
    if untrained == 1 and all(run.steps[:count][-WINDOW:][0] == 0 for run, count in ends):
        among = ", that of the untrained policy at step 0 among them"
    count = min(*counts, WINDOW)
    return f"{count} evaluation{'s' if count > 1 else ''}{among}"


def _cost_table(env: str, groups: Sequence[RunGroup]) -> Table:
    rows = []
    alone = [all(run.alone for run in item.full()) for item in groups]
    alike = same_speed(run for item, shown in zip(groups, alone, strict=True) if shown for run in item.full())
    for item, shown in zip(groups, alone, strict=True):
        full = item.full()
        flops, seconds = ([at_step(run, of, item.horizon) for run in full] for of in ("flops", "seconds"))
        rows.append(
            [
                item.label,
                f"{item.horizon:,}",
                f"{item.parameters:,.0f}",
                "-" if np.isnan(flops).any() else f"{np.mean(flops):.3g}",
                seconds_in_words(seconds, shown and alike),
                ", ".join(sorted({str(run.train.get("threads", "?")) for run in full})),
            ]
        )
    return Table(
        f"{env}: what training takes. FLOPs count the products of forward and backward passes as Evci et al. 2020. "
        "Seconds are the wall clock's, with acting, learning and evaluating, and shown only of runs that had a core to "
        "themselves, on processors of one kind.",
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
