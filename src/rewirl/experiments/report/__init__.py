"""The report on runs: what was run, its results compared with the paper's, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from rewirl.experiments.report.document import Block, Heading, Text
from rewirl.experiments.report.judge import judge
from rewirl.experiments.report.labels import Labels
from rewirl.experiments.report.mujoco_version import by_version
from rewirl.experiments.report.published_curves import beside
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import group_runs
from rewirl.experiments.report.sections.across import across
from rewirl.experiments.report.sections.analyses import analyses
from rewirl.experiments.report.sections.claims import claims
from rewirl.experiments.report.sections.drift import drift
from rewirl.experiments.report.sections.environment import on_environment
from rewirl.experiments.report.sections.inputs import which_inputs
from rewirl.experiments.report.sections.paper import paper
from rewirl.experiments.report.sections.plasticity import plasticity
from rewirl.experiments.report.sections.protocol import Problems, commands, how, missing, what_was_run
from rewirl.experiments.report.sections.tasks import tasks


def report(
    runs: Sequence[RunData],
    problems: Problems,
    names: Labels = (),
    published_curves: bool = True,
    baseline: str | None = None,
) -> list[Block]:
    """Return the report on some runs.

    Args:
        runs: any, at least one; finished or in progress.
        problems: directories that could not be read, with the reason.
        names: what groups are to be called.
        published_curves: whether curves that others have published of the same tasks are drawn too.
        baseline: label of the group that the others are compared with; None compares sparse agents with dense ones.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("no run to report on")
    groups, left_out = group_runs(runs, names)
    labels = list(dict.fromkeys(item.label for item in groups))
    style = {label: number for number, label in enumerate(labels)}
    environments = list(dict.fromkeys(item.env for item in groups))
    findings = judge(groups)
    compared = (
        ", compared with Sokar et al., Dynamic Sparse Training for Deep Reinforcement Learning, IJCAI 2022"
        if any(item.published is not None for item in groups)
        else ""
    )
    kept = sum(len(item.runs) for item in groups)
    what = f"{kept} {'run' if kept == 1 else 'runs'} of {len(labels)} {'agent' if len(labels) == 1 else 'agents'}"
    blocks: list[Block] = [
        Heading("Rewirl report", 1),
        Text(f"{what} on {', '.join(environments)}{compared}."),
        *claims(findings),
        *paper(groups, style),
        *analyses(groups, style),
        *what_was_run(groups),
    ]
    for env in environments:
        here = [item for item in groups if item.env == env]
        blocks += on_environment(env, here, style, beside(here) if published_curves else (), baseline)
    for words, alike in by_version(groups, lambda item: item.mujoco).items():
        blocks += across(alike, list(dict.fromkeys(item.env for item in alike)), style, words, baseline)
    blocks += tasks(groups, environments)
    blocks += plasticity(groups, environments, style)
    blocks += drift(groups, environments)
    blocks += which_inputs(groups)
    blocks += missing(groups, problems, [(run.path, reason) for run, reason in left_out], findings)
    blocks += how(groups)
    blocks += commands(groups)
    return blocks


def paper_report(runs: Sequence[RunData]) -> list[Block]:
    """Return what some runs say of the paper alone: its claims, tables and curves.

    Args:
        runs: any; those with settings that are not the paper's are left out.
    """
    groups = [item for item in group_runs(runs)[0] if item.published is not None]
    style = {label: number for number, label in enumerate(dict.fromkeys(item.label for item in groups))}
    return [*claims(judge(groups)), *paper(groups, style)]


def analyses_report(runs: Sequence[RunData]) -> list[Block]:
    """Return what some runs say of the paper's Figures 2 to 4 alone.

    Args:
        runs: any.
    """
    groups = group_runs(runs)[0]
    style = {label: number for number, label in enumerate(dict.fromkeys(item.label for item in groups))}
    return analyses(groups, style)
