"""Report sections: what was run and how, what is missing, and how the numbers are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rewirl.experiments.report import published
from rewirl.experiments.report.document import Block, Code, Heading, Items, Table, Text
from rewirl.experiments.report.judge import WINDOW, Finding
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup, command, label_of, shared_options

Problems = Sequence[tuple[Path, str]]
"""Directories that could not be read, with the reason."""


def what_was_run(groups: Sequence[RunGroup]) -> list[Block]:
    """Return the section on what was run, and how.

    Args:
        groups: of all environments.
    """
    rows = []
    for item in groups:
        cut = [run for run in item.runs if run.last < item.horizon]
        running = [run for run in item.runs if not run.finished]
        rows.append(
            [
                item.label,
                item.env,
                ", ".join(map(str, item.seeds)),
                f"{item.horizon:,}",
                f"{len(running)} in progress or cut short" if running else "finished",
                ", ".join(f"seed {run.seed} to {run.last:,}" for run in cut) or "none",
                f"{item.parameters:,.0f}",
            ]
        )
    blocks: list[Block] = [
        Heading("What was run, and how"),
        Table(
            "Runs that differ only by seed form a group. Its label names the options that differ from the paper's. The "
            "numbers below are of the runs that have all the steps named here.",
            ["agent", "environment", "seeds", "steps", "state", "shorter runs, not counted", "connections"],
            rows,
        ),
    ]
    shared = shared_options([item.options for item in groups])
    if shared:
        words = label_of("all agents", shared)
        blocks.append(
            Text(f"These options differ from the paper's everywhere and are left out of the labels: {words}.")
        )
    differing = [(item, key, value) for item in groups for key, value in item.options.items() if key not in shared]
    if differing:
        blocks.append(
            Table(
                "Options that differ from the paper's settings for the agent and environment.",
                ["agent", "environment", "option", "value"],
                [[item.label, item.env, key, str(value)] for item, key, value in differing],
            )
        )
    runs = [run for item in groups for run in item.runs]
    blocks += [
        Table(
            "Versions and machines.",
            ["runs", "versions", "revision", "machine"],
            [[str(len(of)), *key] for key, of in _by(runs, _made_with).items()],
        ),
        Text("Each command repeats one run; the same seed on the same kind of processor gives the same numbers."),
        Code("\n".join(command(run) for run in runs)),
    ]
    return blocks


def _made_with(run: RunData) -> tuple[str, str, str]:
    record = run.record
    versions, machine = record.get("versions") or {}, record.get("machine") or {}
    return (
        ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        str(record.get("git_revision") or "not recorded")[:12],
        f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores, {machine.get('instruction_set', '?')}; "
        f"{machine.get('platform', '')}",
    )


def missing(
    groups: Sequence[RunGroup], problems: Problems, left_out: Problems, findings: Sequence[Finding]
) -> list[Block]:
    """Return the section on what is missing of the paper's seeds, steps and environments.

    Args:
        groups: of all environments.
        problems: directories that could not be read.
        left_out: runs that could be read but are in no group, with the reason.
        findings: on the claims; those without runs are named.
    """
    items = []
    for item in groups:
        full = item.full()
        if published.number(item.preset, item.env) is None:
            continue
        lacking = []
        if len(full) < published.SEEDS:
            lacking.append(f"{len(full)} of the paper's {published.SEEDS} seeds")
        if item.horizon < published.STEPS:
            lacking.append(f"{item.horizon:,} of its {published.STEPS:,} steps")
        if lacking:
            items.append(f"{item.label} on {item.env}: {' and '.join(lacking)}.")
    for item in groups:
        for run in item.runs:
            if not run.finished:
                items.append(
                    f"{item.label} on {item.env}, seed {run.seed}: in progress or cut short at {run.last:,} of "
                    f"{run.total:,} steps."
                )
    for finding in findings:
        if finding.verdict == "missing":
            none = [
                name
                for name, count in zip((finding.claim.agent, finding.claim.other), finding.runs, strict=True)
                if not count
            ]
            items.append(f"{' and '.join(none)} on {finding.env}: no run, so a claim cannot be judged.")
    here = {published.base_of(item.env) for item in groups}
    absent = [env for env in published.ENVIRONMENTS if env not in here]
    if absent:
        items.append(f"Environments of the paper without any run: {', '.join(absent)}.")
    blocks: list[Block] = [Heading("What is missing")]
    blocks.append(Items(list(dict.fromkeys(items))) if items else Text("All of the paper's seeds and steps are here."))
    if problems or left_out:
        blocks += [
            Heading("Directories that were left out", 3),
            Items([f"{path}: {reason}" for path, reason in [*problems, *left_out]]),
        ]
    return blocks


def how() -> list[Block]:
    """Return the section on how the numbers are computed."""
    return [
        Heading("How the numbers are computed"),
        Items(
            [
                "Return: undiscounted sum of rewards of an evaluation episode without exploration noise, mean over the "
                "episodes of an evaluation.",
                f"Final return of a run: mean of its last {WINDOW} evaluations, up to the steps named beside it. Runs "
                "that end before are not in it.",
                "LCA: mean over all evaluations up to there; divided by 5,000 as in the paper's tables.",
                "± is the standard deviation over runs, dividing by their number.",
                "IQM: mean of the middle half of the runs. Probability of improvement: share of pairs of runs in which "
                "the first has the higher final return; a tie counts half.",
                "Intervals: 95%, percentiles of a stratified bootstrap over runs with a fixed seed (10,000 replicates; "
                "2,000 for profiles). Few runs make them too narrow: with normal returns the interval of a difference "
                "of means holds the true one in 67% of all cases with 2 runs each, 81% with 3 and 87% with 5.",
            ]
        ),
    ]


def _by(runs: Sequence[RunData], key: Callable[[RunData], Any]) -> dict[Any, list[RunData]]:
    sorted_runs: dict[Any, list[RunData]] = {}
    for run in runs:
        sorted_runs.setdefault(key(run), []).append(run)
    return sorted_runs
