"""Report section: the paper's tables and learning curves, with what these runs show beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rewirl.experiments.report import figures, published
from rewirl.experiments.report.document import Block, Figure, Heading, Table, Text
from rewirl.experiments.report.published import Published
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.environment import curves_against_steps
from rewirl.experiments.report.sections.words import area, mean_and_deviation

_FAMILIES = (
    ("Tables 1 and 2, Figure 1: TD3", ("td3", "static-td3", "ds-td3", "sac-soft")),
    ("Tables 4 and 5, Figure 5: SAC with hard targets", ("sac", "ds-sac")),
)
"""Heading, and agents as the presets call them: the dense one first."""


def paper(groups: Sequence[RunGroup], style: figures.Style) -> list[Block]:
    """Return the section on the paper's tables and curves; empty where no group is the paper's.

    Args:
        groups: of all environments.
        style: colours of the labels.
    """
    of_paper = [item for item in groups if item.published is not None]
    blocks: list[Block] = []
    for title, agents in _FAMILIES:
        family = [item for item in of_paper if item.of_paper in agents]
        if family:
            blocks += [Heading(title, 3), *_tables(family, agents), *_curves(family, style)]
    if not blocks:
        return []
    text = (
        "The paper's numbers are of version 3 of the tasks, 1,000,000 steps and five seeds. The tasks' rewards have "
        "changed since: compare agents with each other, and ratios with ratios."
    )
    return [Heading("The paper's tables and curves, and these runs"), Text(text), *blocks]


def _tables(family: Sequence[RunGroup], agents: Sequence[str]) -> list[Table]:
    unit = published.LCA_UNIT
    return [
        _table(
            "Final return",
            family,
            agents,
            lambda item: mean_and_deviation(item.finals()),
            lambda item: float(np.mean(item.finals())),
            _final_of_paper,
            lambda numbers: numbers.final,
        ),
        _table(
            f"Learning-curve area / {unit:,}",
            family,
            agents,
            lambda item: mean_and_deviation(item.areas() / unit, area),
            lambda item: float(np.mean(item.areas())),
            lambda numbers: f"{numbers.lca:.3f}",
            lambda numbers: numbers.lca,
        ),
    ]


def _table(
    name: str,
    family: Sequence[RunGroup],
    agents: Sequence[str],
    shown: Callable[[RunGroup], str],
    mean: Callable[[RunGroup], float],
    shown_of_paper: Callable[[Published], str],
    mean_of_paper: Callable[[Published], float],
) -> Table:
    """Return a table of tasks by agents, the paper's numbers beside these, with the ratio of sparse to dense."""
    present = [agent for agent in agents if any(item.of_paper == agent for item in family)]
    dense, sparse = agents[0], next((agent for agent in present if agent.startswith("ds-")), None)
    rows = []
    for env in _in_order(family):
        here = {item.of_paper: item for item in family if item.env == env}
        row = [env]
        for agent in present:
            numbers = published.numbers_of(agent, env)
            item = here.get(agent)
            row.append("-" if item is None else f"{shown(item)} ({_runs(item)})")
            row.append("-" if numbers is None else shown_of_paper(numbers))
        if sparse is not None:
            both = here.get(sparse), here.get(dense)
            row.append("-" if both[0] is None or both[1] is None else _ratio(mean(both[0]), mean(both[1])))
            papers = [
                mean_of_paper(numbers) for name in (sparse, dense) if (numbers := published.numbers_of(name, env))
            ]
            row.append(_ratio(*papers) if len(papers) == 2 else "-")
        rows.append(row)
    ratio = [] if sparse is None else [f"{sparse} / {dense}", "paper"]
    head = ["task", *(word for agent in present for word in (agent, "paper")), *ratio]
    return Table(f"{name}: mean ± standard deviation (runs).", head, rows)


def _curves(family: Sequence[RunGroup], style: figures.Style) -> list[Figure]:
    return [curves_against_steps(env, [item for item in family if item.env == env], style) for env in _in_order(family)]


def _in_order(family: Sequence[RunGroup]) -> list[str]:
    """Return the environments that there are in the paper's order."""
    environments = dict.fromkeys(item.env for item in family)
    return sorted(environments, key=lambda env: published.ENVIRONMENTS.index(published.base_of(env)))


def _final_of_paper(numbers: Published) -> str:
    return f"{numbers.final:,.0f}" + ("" if numbers.final_std is None else f" ± {numbers.final_std:,.0f}")


def _runs(item: RunGroup) -> str:
    """Return how many runs a number is of, and of how many steps where they are fewer than the paper's."""
    count = str(len(item.full()))
    return count if item.horizon >= published.STEPS else f"{count} at {item.horizon:,} steps"


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}" if other > 0 else "-"
