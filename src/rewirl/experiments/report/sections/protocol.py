"""Report sections: what was run and how, what is missing, and how the numbers are computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rewirl.experiments.report import published
from rewirl.experiments.report.core_share import ALONE
from rewirl.experiments.report.coverage import coverage
from rewirl.experiments.report.document import Block, Code, Heading, Items, Table, Text, folded
from rewirl.experiments.report.judge import Finding
from rewirl.experiments.report.labels import may_have, options_in_words, setting, unknown_agents
from rewirl.experiments.report.made_with import described, made_by
from rewirl.experiments.report.pairs import WINDOW
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup, area_unit, command, common_to

LINES = 12
"""From more commands on they are folded."""

Problems = Sequence[tuple[Path, str]]
"""Directories that could not be read, with the reason."""


def what_was_run(groups: Sequence[RunGroup]) -> list[Block]:
    """Return the section on what was run, and how.

    Args:
        groups: of all environments.
    """
    common = common_to(groups)
    shorter = [_shorter(item) for item in groups]
    others = [_other_settings(item, common) for item in groups]
    columns = [
        ("agent", [item.label for item in groups]),
        ("environment", [item.env for item in groups]),
        ("seeds", [", ".join(map(str, item.seeds)) for item in groups]),
        ("steps", [f"{item.horizon:,}" for item in groups]),
        ("state", [_state(item) for item in groups]),
        *([("shorter runs, not counted", [each or "none" for each in shorter])] if any(shorter) else []),
        ("connections", [f"{item.parameters:,.0f}" for item in groups]),
        *([("other settings", [each or "-" for each in others])] if any(others) else []),
    ]
    blocks: list[Block] = [
        Heading("What was run, and how"),
        Table(
            "Runs that differ only by seed form a group. It is called by its preset, by its sweep, or by its agent and "
            "the options that differ from the defaults. The numbers below are of the runs that have all these steps.",
            [name for name, _ in columns],
            list(zip(*(cells for _, cells in columns), strict=True)),
        ),
        Text(_settings_of_all(groups, common)),
    ]
    runs = [run for item in groups for run in item.runs]
    if unknown := unknown_agents(runs):
        blocks.append(Text(f"{unknown[0].upper()}{unknown[1:]}."))
    mixed = [_made_unlike(item) for item in groups if len({made_by(run) for run in item.runs}) > 1]
    if mixed:
        blocks += [
            Text(
                "Runs of these groups were made by several revisions, versions or instruction sets, and are counted "
                "together:"
            ),
            Items(mixed),
        ]
    blocks += [
        Table(
            "Versions and machines.",
            ["runs", "versions", "revision", "machine"],
            [[str(len(of)), *key] for key, of in _by(runs, described).items()],
        ),
    ]
    return blocks


def commands(groups: Sequence[RunGroup]) -> list[Block]:
    """Return the section on how to make the runs again.

    Args:
        groups: of all environments.
    """
    lines = [command(run) for item in groups for run in item.runs]
    code = Code("\n".join(lines))
    return [
        Heading("How to make these runs again"),
        Text("Each command repeats one run; the same seed on the same kind of processor gives the same numbers."),
        *(folded(f"{len(lines)} commands", [code]) if len(lines) > LINES else [code]),
    ]


def _state(item: RunGroup) -> str:
    """Return in words how far the runs of a group are."""
    count = sum(not run.finished for run in item.runs)
    return f"{count} in progress or cut short" if count else "finished"


def _shorter(item: RunGroup) -> str:
    """Return which runs of a group end before the steps that its numbers are of."""
    return ", ".join(f"seed {run.seed} to {run.last:,}" for run in item.runs if run.last < item.horizon)


def _settings_of_all(groups: Sequence[RunGroup], common: dict[str, Any]) -> str:
    """Return what the settings are that neither a name nor the table says."""
    usual = "Options that are named nowhere have the defaults that rewirl train --help prints."
    if not common:
        return usual
    whom = "All groups" if all(item.by_options for item in groups) else "All groups without a preset"
    return f"{whom} have, unless the table says otherwise: {options_in_words(common)}. {usual}"


def _other_settings(item: RunGroup, common: dict[str, Any]) -> str:
    """Return the settings of a group that are neither common nor said by its name."""
    if item.preset is not None:
        return f"preset {item.preset}"
    if item.of_paper is not None:
        return f"{item.of_paper} of Sokar et al. 2022"
    own = {key: value for key, value in item.options.items() if key not in item.named and common.get(key, ()) != value}
    if item.by_options:
        lacking = [key for key in common if key not in item.options and may_have(item.dense, key)]
        own |= {key: setting(item.runs[0], key) for key in lacking}
    agent = "" if re.match(rf"{re.escape(item.agent)}(,| \(|$)", item.label) else item.agent
    return ", ".join(words for words in (agent, options_in_words(own)) if words)


def _made_unlike(item: RunGroup) -> str:
    """Return which seeds of a group were made by what."""
    by = _by(item.runs, made_by)
    said = 3 if len({made[3] for made in by}) == 1 else 4  # Gymnasium's version only where there are several
    parts = [
        f"{'seeds' if len(of) > 1 else 'seed'} {', '.join(str(run.seed) for run in of)} by {', '.join(made[:said])}"
        for made, of in by.items()
    ]
    return f"{item.label} on {item.env}: {'; '.join(parts)}."


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
    of_paper = [item for item in groups if item.published is not None]
    for item in of_paper:
        full = item.full()
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
        if finding.without_unit:
            items.append(
                f"All tasks together, {finding.claim.in_words}: cannot be judged, as the mean of {finding.claim.other} "
                f"on {', '.join(finding.without_unit)} is not positive, and no unit to compare in."
            )
        elif finding.verdict == "missing":
            none = [
                name
                for name, count in zip((finding.claim.agent, finding.claim.other), finding.runs, strict=True)
                if not count
            ]
            why = (
                f"{' and '.join(none)} on {finding.env}: no run"
                if none
                else (f"{finding.claim.agent} and {finding.claim.other} on {finding.env}: no evaluations in common")
            )
            items.append(f"{why}, so a claim cannot be judged.")
    here = {published.task_of(item.env) for item in groups}
    absent = [env for env in published.ENVIRONMENTS if env not in here]
    if absent and of_paper:
        items.append(f"Environments of the paper without any run: {', '.join(absent)}.")
    blocks: list[Block] = []
    if items:
        blocks = [Heading("What is missing"), Items(list(dict.fromkeys(items)))]
    elif of_paper:
        blocks = [Heading("What is missing"), Text("All of the paper's seeds and steps are here.")]
    elif problems or left_out:
        blocks = [Heading("What is missing")]
    if problems or left_out:
        blocks += [
            Heading("Directories that were left out", 3),
            Items([f"{path}: {reason}" for path, reason in [*problems, *left_out]]),
        ]
    return blocks


def how(groups: Sequence[RunGroup]) -> list[Block]:
    """Return the section on how the numbers are computed."""
    unit, _ = area_unit(groups)
    all_of_paper = all(item.published is not None for item in groups)
    where = "" if all_of_paper else f" where a column says LCA / {unit:,.0f}"
    divided = f"; divided by {unit:,.0f} as in the paper's tables{where}" if unit != 1 else ""
    shares = ", ".join(f"{coverage(runs):.0%} with {runs}" for runs in (2, 3, 5, 10))
    return [
        Heading("How the numbers are computed"),
        Items(
            [
                "Return: undiscounted sum of rewards of an evaluation episode without exploration noise, mean over the "
                "episodes of an evaluation.",
                f"Final return of a run: mean of its last {WINDOW} evaluations, up to the steps named beside it. Runs "
                "that end before are not in it. What the command line prints at the end of a run is its last "
                "evaluation alone, so the two differ.",
                f"Learning-curve area (LCA): mean over all evaluations up to there{divided}.",
                "± is the standard deviation over runs, dividing by their number.",
                "IQM: mean of the middle half of the runs. Probability of improvement: share of pairs of runs in which "
                "the first has the higher final return; a tie counts half.",
                "Intervals by bootstrap: 95%, percentiles of a stratified bootstrap over runs with a fixed seed "
                "(10,000 replicates; 2,000 for profiles). Few runs make them too narrow: with normal returns the "
                f"interval of a difference of means holds the true one in {shares} runs each.",
                "Student's and Welch's intervals and p: for normal returns, agents having variances of their own. They "
                "allow for few runs.",
                "Seconds are shown of runs on one thread whose processor time was at least "
                f"{ALONE:.0%} of the wall clock and not of more than one core: they had a core to themselves. They are "
                "shown together only of processors of one kind with the same instructions. A core that shares its "
                "units with another one is not told apart.",
            ]
        ),
    ]


def _by(runs: Sequence[RunData], key: Callable[[RunData], Any]) -> dict[Any, list[RunData]]:
    sorted_runs: dict[Any, list[RunData]] = {}
    for run in runs:
        sorted_runs.setdefault(key(run), []).append(run)
    return sorted_runs
