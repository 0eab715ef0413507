"""Two groups compared: differences of what they reach, on one task or over several, with bootstrap and Welch's test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import aggregates
from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.labels import OF_PAPER
from rewirl.experiments.report.metrics import final_return
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.welch import Test, welch

WINDOW = 10
"""Evaluations whose mean is a final return."""

_SMALLEST_UNIT = 1e-12
_REPLICATES = 10_000
"""Of the bootstrap of a share of the steps."""
"""A mean return at or below this is no unit to measure others in."""

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]
"""A number of every run of the one and of the other, float64 [runs] each."""


def stream(*purpose: str) -> np.random.Generator:
    """Return the generator of a bootstrap, seeded by its purpose: equal runs give equal reports."""
    words = [word.removeprefix(OF_PAPER) for word in purpose]  # its agents had no longer names in older reports
    return np.random.default_rng(list(" ".join(words).encode(errors="surrogatepass")))


def common_step(one: RunGroup, other: RunGroup) -> int:
    """Return the steps after which two groups are compared: the shorter of their horizons."""
    return min(one.horizon, other.horizon)


def comparable(one: RunGroup, other: RunGroup) -> bool:
    """Return whether both groups are of one task, with runs that were evaluated up to the common step."""
    step = common_step(one, other)
    return one.task == other.task and bool(one.full(step) and other.full(step))


def repeated(pairs: Sequence[tuple[RunGroup, RunGroup]]) -> list[tuple[RunGroup, RunGroup]]:
    """Return the pairs of which both groups have several runs; all where fewer than two are left.

    A task with a single run says nothing of the spread, and would leave the others without an interval.
    """
    several = [pair for pair in pairs if min(len(each.full(common_step(*pair))) for each in pair) > 1]
    return several if len(several) > 1 else list(pairs)


def values(one: RunGroup, other: RunGroup, measure: Literal["final", "lca"]) -> Pair:
    """Return the numbers of the runs of two groups at the common step.

    Args:
        one: the first.
        other: the second.
        measure: which number: the final return, or the learning-curve area.
    """
    step = common_step(one, other)
    return (one.finals(step), other.finals(step)) if measure == "final" else (one.areas(step), other.areas(step))


def values_at_share(one: RunGroup, other: RunGroup, share: float) -> Pair | None:
    """Return what the runs of one have after a share of the steps, and the final returns of the other.

    Args:
        one: whose return is the mean of its last evaluations until then.
        other: at the common step.
        share: of the common step.

    Returns:
        Both, or None where a run has no evaluation by then.
    """
    step = common_step(one, other)
    early = [run.until(int(share * step)).tolist() for run in one.full(step)]
    if not all(early):
        return None
    return np.array([final_return(returns, WINDOW) for returns in early]), other.finals(step)


def difference(one: RunGroup, other: RunGroup, measure: Literal["final", "lca"]) -> Estimate:
    """Return the difference of two groups' means at the common step with its bootstrap interval, the first less the
    second; arguments as for `values`."""
    rng = stream(measure, one.env, one.label, other.label)
    samples = values(one, other, measure)
    return aggregates.estimate(aggregates.difference_of(aggregates.MEAN), *([sample] for sample in samples), rng=rng)


def tested(pairs: Sequence[Pair]) -> Test | None:
    """Test the mean over tasks of the difference of means, the first less the second.

    Args:
        pairs: one per task.

    Returns:
        What Welch's test says, or None where an agent has a single run on a task.
    """
    samples = [sample for pair in pairs for sample in pair]
    if min(map(len, samples)) < 2:
        return None
    return welch(samples, [1 / len(pairs), -1 / len(pairs)] * len(pairs))


def in_units_of_the_other(pair: Pair) -> Pair | None:
    """Return the numbers of a pair in units of the other's mean, or None where that is not positive."""
    unit = float(pair[1].mean())
    return (pair[0] / unit, pair[1] / unit) if unit > _SMALLEST_UNIT else None


def share_of_steps(agent: RunGroup, other: RunGroup) -> Estimate:
    """Return the share of the steps after which an agent reaches the other's final return, mean over its runs.

    The bootstrap draws the runs of both. A run that never gets there counts as infinity.

    Args:
        agent: the agent.
        other: whose final return is to be reached, at the common step.
    """
    return mean_share([(agent, other)])


def mean_share(pairs: Sequence[tuple[RunGroup, RunGroup]]) -> Estimate:
    """Return the mean over tasks of the share of the steps; see `share_of_steps`.

    Args:
        pairs: agent and other, one pair per task.
    """
    every = np.mean([_shares(agent, other) for agent, other in pairs], axis=0)
    drawn = np.sort(every[:-1])
    low, high = (float(drawn[round(share * (_REPLICATES - 1))]) for share in (0.025, 0.975))
    return Estimate(float(every[-1]), low, high)


def _shares(agent: RunGroup, other: RunGroup) -> Floats:
    """Return the mean share of every replicate, and last the one of the runs themselves, float64 [_REPLICATES + 1]."""
    rng = stream("share", agent.env, agent.label, other.label)
    step = common_step(agent, other)
    levels = other.finals(step)
    runs = agent.full(step)
    times = []  # of each run, per replicate; the running mean's highest value so far is monotone
    drawn = np.append(levels[rng.integers(len(levels), size=(_REPLICATES, len(levels)))].mean(axis=1), levels.mean())
    for run in runs:
        returns = run.until(step)
        window = min(WINDOW, len(returns))  # as of its final return
        means = np.lib.stride_tricks.sliding_window_view(returns, window).mean(axis=1)
        at = np.append(run.steps[window - 1 : len(returns)] / max(step, 1), np.inf)
        times.append(at[np.searchsorted(np.maximum.accumulate(means), aggregates.but_for_rounding(drawn))])
    every = np.array(times)
    drawn_runs = rng.integers(len(runs), size=(len(runs), _REPLICATES))
    means = np.take_along_axis(every[:, :-1], drawn_runs, axis=0).mean(axis=0)
    return np.append(means, every[:, -1].mean())
