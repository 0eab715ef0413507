"""Judges the paper's claims by the runs: each holds, does not hold, is undecided, or has no runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rewirl.experiments.report import aggregates
from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.published import CLAIMS, Claim, base_of
from rewirl.experiments.report.run_groups import RunGroup

Verdict = Literal["holds", "does not hold", "undecided", "missing"]

WINDOW = 10
"""Evaluations whose mean is a final return."""


@dataclass(frozen=True)
class Finding:
    """A claim on one environment."""

    claim: Claim
    env: str
    verdict: Verdict
    step: int
    """Steps after which it was judged; 0 if it could not be."""
    runs: tuple[int, int]
    """Runs of the agent and of the other."""
    estimate: Estimate | None


def stream(*purpose: str) -> np.random.Generator:
    """Return the generator of a bootstrap, seeded by its purpose: equal runs give equal reports."""
    return np.random.default_rng(list(" ".join(purpose).encode(errors="surrogatepass")))


def judge(groups: Sequence[RunGroup], env: str) -> list[Finding]:
    """Judge the paper's claims by the runs on one environment.

    Args:
        groups: of all environments.
        env: the environment. Claims that the paper does not make of it are left out, and claims about agents without
            any run.
    """
    here = {group.preset: group for group in groups if group.env == env}
    everywhere = {group.preset for group in groups}
    findings = []
    for claim in CLAIMS:
        if base_of(env) not in claim.environments or not everywhere & {claim.agent, claim.other}:
            continue
        agent, other = here.get(claim.agent), here.get(claim.other)
        if agent is None or other is None:
            counts = tuple(0 if group is None else len(group.runs) for group in (agent, other))
            findings.append(Finding(claim, env, "missing", 0, (counts[0], counts[1]), None))
        else:
            findings.append(_judge(claim, agent, other))
    return findings


def common_step(one: RunGroup, other: RunGroup) -> int:
    """Return the steps after which two groups are compared: the shorter of their horizons."""
    return min(one.horizon, other.horizon)


def share_of_steps(agent: RunGroup, other: RunGroup, replicates: int = 10_000) -> Estimate:
    """Return the share of the steps after which an agent reaches the other's final return, mean over its runs.

    The bootstrap draws the runs of both. A run that never gets there counts as infinity.

    Args:
        agent: the agent.
        other: whose final return is to be reached, at the common step.
        replicates: of the bootstrap.
    """
    rng = stream("share", agent.env, agent.label, other.label)
    step = common_step(agent, other)
    levels = other.finals(step)
    runs = agent.full(step)
    times = []  # of each run, per replicate; the running mean's highest value so far is monotone
    drawn = np.append(levels[rng.integers(len(levels), size=(replicates, len(levels)))].mean(axis=1), levels.mean())
    for run in runs:
        returns = run.until(step)
        if len(returns) < WINDOW:
            times.append(np.full(len(drawn), np.inf))
            continue
        means = np.lib.stride_tricks.sliding_window_view(returns, WINDOW).mean(axis=1)
        at = np.append(run.steps[WINDOW - 1 : len(returns)] / step, np.inf)
        times.append(at[np.searchsorted(np.maximum.accumulate(means), drawn)])
    every = np.array(times)
    drawn_runs = rng.integers(len(runs), size=(len(runs), replicates))
    means = np.sort(np.take_along_axis(every[:, :-1], drawn_runs, axis=0).mean(axis=0))
    low, high = (float(means[round(share * (replicates - 1))]) for share in (0.025, 0.975))
    return Estimate(float(every[:, -1].mean()), low, high)


def difference(one: RunGroup, other: RunGroup, measure: Literal["final", "lca"]) -> Estimate:
    """Return the difference of two groups' means at the common step, the first less the second.

    Args:
        one: the first.
        other: the second.
        measure: of which number: the final return, or the learning-curve area divided by 5,000.
    """
    rng = stream(measure, one.env, one.label, other.label)
    step = common_step(one, other)
    samples = [group.finals(step) if measure == "final" else group.areas(step) / 5000 for group in (one, other)]
    return aggregates.estimate(aggregates.difference_of(aggregates.MEAN), *([sample] for sample in samples), rng=rng)


def _judge(claim: Claim, agent: RunGroup, other: RunGroup) -> Finding:
    step = common_step(agent, other)
    runs = len(agent.full(step)), len(other.full(step))
    if claim.measure == "share":
        estimate = share_of_steps(agent, other)
        holds, fails = estimate.high <= claim.below, estimate.low > claim.below
    else:
        estimate = difference(agent, other, claim.measure)
        holds, fails = estimate.low > claim.above, estimate.high < claim.above
    verdict: Verdict = "holds" if holds else "does not hold" if fails else "undecided"
    if min(runs) < 2:
        verdict = "undecided"  # one run has no spread: its interval is a point
    return Finding(claim, agent.env, verdict, step, runs, estimate)
