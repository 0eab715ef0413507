"""Judges the paper's claims by the runs: each holds, does not hold, is undecided, or has no runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rewirl.experiments.report import aggregates
from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.mujoco_version import by_version
from rewirl.experiments.report.pairs import (
    Pair,
    common_step,
    comparable,
    difference,
    in_units_of_the_other,
    mean_share,
    repeated,
    share_of_steps,
    stream,
    tested,
    values,
    values_at_share,
)
from rewirl.experiments.report.published import CLAIMS, Claim, task_of, version_of
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.welch import Test, holm

Verdict = Literal["holds", "does not hold", "undecided", "missing"]

FEWEST = 5
"""Runs of either agent below which a claim is undecided, whatever the numbers are."""
LEVEL = 0.05
"""A claim is decided where p is below this."""


@dataclass(frozen=True)
class Finding:
    """A claim on one environment, or over all of them."""

    claim: Claim
    env: str | None
    """None is all of the claim's environments that both agents have several runs on, each counting the same; see
    `pairs.repeated`."""
    verdict: Verdict
    step: int
    """Steps after which it was judged, the fewest of all environments; 0 if it could not be."""
    runs: tuple[int, int]
    """Runs of the agent and of the other, on the environment where they are fewest."""
    estimate: Estimate | None
    """Difference of the means, or share of the steps, with its bootstrap interval. Over all environments differences
    are in units of the other's mean."""
    test: Test | None = None
    """Welch's test of the difference; for a share that of the return after the share claimed and the other's final one.
    None where there is no estimate, or one run only."""
    p: float | None = None
    """Of the test; on one environment corrected for all of the claim's by Holm."""
    tasks: int = 1
    """Tasks that it is of, whatever versions there are of one."""
    version: str = ""
    """Which versions they are of, of MuJoCo and of the tasks, where the report has several of either."""
    without_unit: tuple[str, ...] = ()
    """Environments on which the other's mean is not positive, so that no difference can be in units of it."""


def judge(groups: Sequence[RunGroup]) -> list[Finding]:
    """Judge the paper's claims by some runs.

    Args:
        groups: of all environments.

    Returns:
        Claim by claim one finding per environment, and one over all of them where there are several. Claims that the
        paper does not make of an environment are left out, and claims about agents without any run.
    """
    everywhere = {group.of_paper for group in groups}
    environments = list(dict.fromkeys(group.env for group in groups))
    findings = []
    for claim in CLAIMS:
        if not everywhere & {claim.agent, claim.other}:
            continue
        pairs: list[tuple[RunGroup, RunGroup]] = []
        of_claim = []
        for env in environments:
            if task_of(env) not in claim.environments:
                continue
            here = {group.of_paper: group for group in groups if group.env == env}
            agent, other = here.get(claim.agent), here.get(claim.other)
            if agent is None or other is None or not comparable(agent, other):
                counts = tuple(0 if group is None else len(group.runs) for group in (agent, other))
                of_claim.append(Finding(claim, env, "missing", 0, (counts[0], counts[1]), None))
            else:
                pairs.append((agent, other))
                of_claim.append(_on_one(claim, agent, other))
        findings += _corrected(claim, of_claim)
        for mujoco, alike in by_version(pairs, lambda pair: pair[0].mujoco).items():
            for version, of_version in _by_version_of_task(alike).items():
                several = repeated(of_version)
                if len(_tasks(several)) > 1:
                    words = ", ".join(filter(None, (version, mujoco)))
                    findings += [replace(item, version=words) for item in _over_all(claim, several)]
    return findings


def _tasks(pairs: Sequence[tuple[RunGroup, RunGroup]]) -> set[str | None]:
    return {task_of(agent.env) for agent, _ in pairs}


def _by_version_of_task(
    pairs: Sequence[tuple[RunGroup, RunGroup]],
) -> dict[str, list[tuple[RunGroup, RunGroup]]]:
    """Return what is judged together: all, unless a task is there in several versions; then each version apart.

    Hopper-v4 and Hopper-v5 are one task of the paper, which would count twice. So is one that two modules register.
    """
    if len(_tasks(pairs)) == len(pairs):
        return {"": list(pairs)}
    found: dict[str, list[tuple[RunGroup, RunGroup]]] = {}
    for pair in pairs:
        found.setdefault(version_of(pair[0].env), []).append(pair)
    return {version: found[version] for version in sorted(found)}


def _corrected(claim: Claim, findings: Sequence[Finding]) -> list[Finding]:
    """Return findings on one claim, with p corrected and the verdict that follows.

    Corrected is for the tests that were made, and for the claim's tasks of which there was none.
    """
    tested = [(item.env, item.test.p) for item in findings if item.test is not None]
    untested = set(claim.environments) - {task_of(env) for env, _ in tested if env is not None}
    corrected = iter(holm([p for _, p in tested], len(tested) + len(untested)))
    return [item if item.test is None else _decided(replace(item, p=next(corrected))) for item in findings]


def _decided(finding: Finding) -> Finding:
    """Return a finding with its verdict."""
    verdict: Verdict = "undecided"
    if finding.test is not None and finding.p is not None and min(finding.runs) >= FEWEST and finding.p < LEVEL:
        verdict = "holds" if finding.test.estimate.value > 0 else "does not hold"
    if finding.env is None and finding.tasks < len(finding.claim.environments):
        verdict = "undecided"  # of others nothing is known
    return replace(finding, verdict=verdict)


def _on_one(claim: Claim, agent: RunGroup, other: RunGroup) -> Finding:
    estimate = share_of_steps(agent, other) if claim.measure == "share" else difference(agent, other, claim.measure)
    pair = _pair(claim, agent, other)
    step = common_step(agent, other)
    runs = len(agent.full(step)), len(other.full(step))
    return Finding(claim, agent.env, "undecided", step, runs, estimate, None if pair is None else tested([pair]))


def _over_all(claim: Claim, pairs: Sequence[tuple[RunGroup, RunGroup]]) -> list[Finding]:
    """Return the finding over several environments; without a verdict where returns give no unit to compare them in."""
    compared = [_pair(claim, agent, other) for agent, other in pairs]
    if any(pair is None for pair in compared):
        return []
    units = [None if pair is None else in_units_of_the_other(pair) for pair in compared]
    if None in units:
        without = tuple(agent.env for (agent, _), score in zip(pairs, units, strict=True) if score is None)
        return [Finding(claim, None, "missing", 0, (0, 0), None, tasks=len(_tasks(pairs)), without_unit=without)]
    scores = [score for score in units if score is not None]
    if claim.measure == "share":
        estimate = mean_share(pairs)
    else:
        rng = stream("all", claim.agent, claim.other, claim.measure)
        first, second = [pair[0] for pair in scores], [pair[1] for pair in scores]
        estimate = aggregates.estimate(aggregates.difference_of(aggregates.MEAN), first, second, rng=rng)
    step = min(common_step(agent, other) for agent, other in pairs)
    runs = min(len(pair[0]) for pair in scores), min(len(pair[1]) for pair in scores)
    test = tested(scores)
    p = None if test is None else test.p
    return [_decided(Finding(claim, None, "undecided", step, runs, estimate, test, p, len(_tasks(pairs))))]


def _pair(claim: Claim, agent: RunGroup, other: RunGroup) -> Pair | None:
    if claim.measure == "share":
        return values_at_share(agent, other, claim.below)
    return values(agent, other, claim.measure)
