"""Report section: the paper's Figures 2 to 4, of which each varies one thing about its agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rewirl.experiments.report import figures, published
from rewirl.experiments.report.document import Block, Heading, Table, Text
from rewirl.experiments.report.labels import AMOUNTS, agent_of_paper, setting
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.environment import curves_against_steps
from rewirl.experiments.report.sections.words import area, legend_of, mean_and_deviation


@dataclass(frozen=True)
class _Analysis:
    title: str
    varied: tuple[str, ...]
    """Options of which one or the other differs from the paper's settings."""
    agents: tuple[str, ...]
    """Whose options are varied, as the presets call them."""
    beside: tuple[str, ...]
    """Agents with the paper's settings that are shown with them."""
    of_paper: str
    """What the paper found."""


_ANALYSES = (
    _Analysis(
        "Figure 2: the adaptation period",
        ("topology.adapt_every",),
        ("ds-td3",),
        ("td3", "ds-td3"),
        "In the paper, on HalfCheetah, a period of 1,000 updates is best, 200 and 500 are worse, and 2,000 is about "
        "dense TD3.",
    ),
    _Analysis(
        "Figure 3: the sparsity",
        AMOUNTS,
        ("ds-td3",),
        ("td3", "ds-td3"),
        "In the paper, on HalfCheetah, DS-TD3 at 25% is 2.1% above dense TD3, at about 50% it learns much faster, and "
        "at 80% badly.",
    ),
    _Analysis(
        "Figure 4: the policy that fills the replay memory at first",
        ("warm_up_policy",),
        ("td3", "static-td3", "ds-td3"),
        ("td3", "static-td3", "ds-td3"),
        "In the paper, on HalfCheetah, a trained policy in place of a random one helps dense TD3 most, and DS-TD3 "
        "little.",
    ),
)


def analyses(groups: Sequence[RunGroup], style: figures.Style) -> list[Block]:
    """Return the section on the paper's Figures 2 to 4; empty where nothing is varied that they vary.

    Args:
        groups: of all environments.
        style: colours of the labels.
    """
    blocks: list[Block] = []
    for analysis in _ANALYSES:
        for env in dict.fromkeys(item.env for item in groups):
            here = [item for item in groups if item.env == env]
            varied = [item for item in here if _varies(analysis, item)]
            if varied:
                known = [item for item in here if item.of_paper in analysis.beside]
                blocks += _blocks(analysis, env, [*known, *sorted(varied, key=_place)], style)
    return [Heading("The paper's analyses, and these runs"), *blocks] if blocks else []


def _varies(analysis: _Analysis, item: RunGroup) -> bool:
    agent = agent_of_paper(item.agent, item.runs[0].env, item.options, analysis.varied)
    return item.of_paper is None and agent in analysis.agents


def _place(item: RunGroup) -> tuple[int, float, float, str]:
    agents = list(published.NUMBERS)
    period = setting(item.runs[0], "topology.adapt_every") or 0
    return agents.index(item.agent), -item.parameters, period, item.label


def _blocks(analysis: _Analysis, env: str, groups: Sequence[RunGroup], style: figures.Style) -> list[Block]:
    step = min(item.horizon for item in groups)
    rows = [
        [
            item.label,
            f"{item.parameters:,.0f}",
            str(len(item.full(step))),
            mean_and_deviation(item.finals(step)),
            mean_and_deviation(item.areas(step) / published.LCA_UNIT, area),
        ]
        for item in groups
    ]
    steps = f"{step:,} steps" + (f" (the paper has {published.STEPS:,})" if step < published.STEPS else "")
    return [
        Heading(f"{analysis.title}, {env}", 3),
        Text(analysis.of_paper),
        Table(
            f"{env}, after {steps}: mean ± standard deviation.",
            ["agent", "connections", "runs", "final return", f"LCA / {published.LCA_UNIT:,}"],
            rows,
        ),
        *legend_of([item.label for item in groups], style),
        curves_against_steps(env, groups, style),
    ]
