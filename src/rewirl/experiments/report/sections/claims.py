"""Report section: what the paper claims, and what the runs show."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rewirl.experiments.report import published
from rewirl.experiments.report.document import Block, Heading, Table, Text
from rewirl.experiments.report.judge import FEWEST, LEVEL, Finding
from rewirl.experiments.report.sections.words import (
    bounds,
    covers,
    p_value,
    percent,
    shown,
    signed,
    signed_area,
    signed_percent,
)


def claims(findings: Sequence[Finding]) -> list[Block]:
    """Return the section on the claims: each with its verdict, what was measured, and from how many runs.

    Args:
        findings: as `rewirl.experiments.report.judge.judge` returns them; none makes no section.
    """
    if not findings:
        return []
    rows = [_row(finding) for finding in findings if finding.verdict != "missing"]
    short = any(0 < finding.step < published.STEPS for finding in findings)
    blocks: list[Block] = [Heading("What the paper claims, and what these runs show")]
    if not rows:
        return [*blocks, Text("No claim of the paper can be judged: of every two agents compared, one has no runs.")]
    return [
        *blocks,
        Table(
            "Differences are the first agent's mean less the second's, over all tasks in units of the second's. A "
            f"share of the steps is tested by the return after the share claimed, less the other's final return. A "
            f"claim is decided by Welch's t test at the level {LEVEL}, corrected for the paper's tasks by Holm's "
            f"method, and undecided with fewer than {FEWEST} runs of either agent. Bootstrap intervals of so few runs "
            "hold the true value less often than 95%: 'holds it' is how often in simulation.",
            [
                "claim",
                "task",
                "verdict",
                "measured",
                "95% bootstrap",
                "holds it",
                "95% Welch",
                "p",
                "runs",
            ],
            rows,
        ),
        *(
            [
                Text(
                    "Where fewer than 1,000,000 steps are compared, the paper's claim, made of 1,000,000, is not "
                    "settled."
                )
            ]
            if short
            else []
        ),
    ]


def _row(finding: Finding) -> list[str]:
    estimate, test, counted = finding.estimate, finding.test, min(finding.runs)
    assert estimate is not None
    claim, over_all = finding.claim, finding.env is None
    if over_all:
        show, unit = signed_percent, 1.0
    elif claim.measure == "lca":
        show, unit = signed_area, float(published.LCA_UNIT)
    else:
        show, unit = signed, 1.0
    tested = "-" if test is None else bounds(test.estimate.in_units(unit), counted, show)
    if claim.measure == "share":
        show = percent
    else:
        estimate = estimate.in_units(unit)
    measured, interval = shown(show, estimate.value, estimate), bounds(estimate, counted, show)
    if claim.measure == "share" and math.isfinite(estimate.value):
        measured += " of the steps"
    elif claim.measure == "share" and over_all:
        measured, interval = "not on every task", "-"
    return [
        claim.in_words,
        finding.env or ", ".join([f"{finding.tasks} tasks together", *([finding.version] if finding.version else [])]),
        _verdict(finding),
        measured,
        interval,
        "-" if claim.measure == "share" else covers(counted, 2 * finding.tasks),
        tested,
        "-" if finding.p is None else p_value(finding.p),
        f"{finding.runs[0]} and {finding.runs[1]}",
    ]


def _verdict(finding: Finding) -> str:
    words = finding.verdict.upper() if finding.verdict == "does not hold" else finding.verdict
    if 0 < finding.step < published.STEPS:
        words += f" at {finding.step:,} steps"
    if finding.verdict == "undecided":
        if min(finding.runs) < FEWEST:
            words += ": few runs"
        elif finding.env is None and finding.tasks < len(finding.claim.environments):
            words += f": {finding.tasks} of {len(finding.claim.environments)} tasks"
    return words
