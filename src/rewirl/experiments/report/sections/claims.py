"""Report section: what the paper claims, and what the runs show."""

from __future__ import annotations

from collections.abc import Sequence

from rewirl.experiments.report import published
from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.document import Block, Heading, Table, Text
from rewirl.experiments.report.judge import Finding
from rewirl.experiments.report.sections.words import interval, percent, signed, signed_area


def claims(findings: Sequence[Finding]) -> list[Block]:
    """Return the section on the claims: each with its verdict, what was measured, and from how many runs.

    Args:
        findings: as `rewirl.experiments.report.judge.judge` returns them, of all environments; may be empty.
    """
    blocks: list[Block] = [Heading("What the paper claims, and what these runs show")]
    if not findings:
        return [*blocks, Text("The paper claims nothing about these agents and environments together.")]
    rows = []
    for finding in findings:
        estimate = finding.estimate
        rows.append(
            [
                _claim_in_words(finding),
                finding.env,
                _verdict(finding),
                "-" if estimate is None else _measured(finding, estimate),
                f"{finding.runs[0]} and {finding.runs[1]}",
                "-" if not finding.step else f"{finding.step:,}",
            ]
        )
    return [
        *blocks,
        Table(
            "A claim holds or does not hold if the whole 95% interval says so; otherwise it is undecided.",
            ["claim", "environment", "verdict", "measured (95% interval)", "runs", "compared at steps"],
            rows,
        ),
        *(
            [
                Text(
                    "Where fewer than 1,000,000 steps are compared, the paper's claim, made of 1,000,000, is not "
                    "settled."
                )
            ]
            if any(0 < finding.step < published.STEPS for finding in findings)
            else []
        ),
    ]


def _verdict(finding: Finding) -> str:
    words = finding.verdict.upper() if finding.verdict == "does not hold" else finding.verdict
    return f"{words} at {finding.step:,} steps" if 0 < finding.step < published.STEPS else words


def _claim_in_words(finding: Finding) -> str:
    claim = finding.claim
    if claim.measure == "share":
        return f"{claim.agent} has the final return of {claim.other} after at most {claim.below:.0%} of the steps"
    what = "final return" if claim.measure == "final" else "learning-curve area"
    return f"{claim.agent} has a higher {what} than {claim.other}"


def _measured(finding: Finding, estimate: Estimate) -> str:
    if finding.claim.measure == "share":
        return interval(estimate, percent)
    unit = signed if finding.claim.measure == "final" else signed_area
    return "difference " + interval(estimate, unit)
