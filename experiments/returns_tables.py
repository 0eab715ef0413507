"""Tables of returns on pages, from the runs that are kept: `write_results.py` fills them in.

A page says in a comment what its table has, and after an empty line the table follows:

<!-- returns of td3, ds-td3 on HalfCheetah-v5: seeds, connections, 100k, final -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import published
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.words import area, mean_and_deviation

ASKED = re.compile(r"(<!-- returns of ([\w\s,-]+) on ([\w\s,-]+): ([\w\s,/'-]+) -->\n\n)(?:\|.*\n)*")
"""The comment with agents, environments and columns, and the table that is there."""

AGENTS = {
    "td3": "`td3`, dense",
    "static-td3": "`static-td3`",
    "ds-td3": "`ds-td3`",
    "sac": "`sac`, dense, hard targets",
    "ds-sac": "`ds-sac`, hard targets",
}
"""What the agents of the paper's settings are called on pages."""

_UNITS = {"k": 1_000, "M": 1_000_000}

COLUMNS: Mapping[str, Callable[[RunGroup], str]] = {
    "seeds": lambda group: str(len(group.full())),
    "connections": lambda group: f"{group.parameters:,.0f}",
    "FLOPs": lambda group: f"{np.mean([run.flops[-1] for run in group.full()]):.2e}".replace("e+", "e"),
    "final": lambda group: mean_and_deviation(group.finals()),
    "LCA / 5000": lambda group: mean_and_deviation(group.areas() / published.LCA_UNIT, area),
    "paper's final": lambda group: _final_of_paper(group),
    "paper's LCA / 5000": lambda group: "" if group.published is None else f"{group.published.lca:.3f}",
}
"""What a column may be; 100k and 1M are the returns of the evaluation at that step."""


def _final_of_paper(group: RunGroup) -> str:
    if group.published is None:
        return ""
    deviation = group.published.final_std
    return f"{group.published.final:,.0f}" + ("" if deviation is None else f" ± {deviation:,.0f}")


def filled(page: str, groups: Sequence[RunGroup]) -> str:
    """Return a page with its tables made again.

    Args:
        page: its text.
        groups: of the paper's settings.

    Raises:
        ValueError: it asks for a column that there is not, or for an agent without runs.
    """

    def again(match: re.Match[str]) -> str:
        return match[1] + _table(_listed(match[2]), _listed(match[3]), _listed(match[4]), groups)

    return ASKED.sub(again, page)


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _table(agents: list[str], envs: list[str], columns: list[str], groups: Sequence[RunGroup]) -> str:
    found = {(group.env, group.of_paper): group for group in groups}
    several = len(envs) > 1
    rows = [["task"] * several + ["agent", *columns], ["---"] * (several + 1) + ["---:"] * len(columns)]
    for env in envs:
        for number, agent in enumerate(agents):
            if (env, agent) not in found:
                raise ValueError(f"a page asks for {agent} on {env}, of which no runs are kept")
            name = [env if number == 0 else ""] * several + [AGENTS[agent]]
            rows.append([*name, *(_cell(column, found[env, agent]) for column in columns)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(column: str, group: RunGroup) -> str:
    step = re.fullmatch(r"(\d+)([kM])", column)
    if step is None and column not in COLUMNS:
        raise ValueError(
            f"a page asks for the column {column!r}; there are {', '.join(COLUMNS)}, and steps such as 100k"
        )
    return COLUMNS[column](group) if step is None else mean_and_deviation(_at(group, int(step[1]) * _UNITS[step[2]]))


def _at(group: RunGroup, step: int) -> NDArray[np.float64]:
    return np.array([run.until(step)[-1] for run in group.full(step)])


def write_returns(pages: Sequence[Path], groups: Sequence[RunGroup]) -> None:
    """Make the tables of some pages again.

    Args:
        pages: in Markdown.
        groups: of the paper's settings.
    """
    for page in pages:
        page.write_text(filled(page.read_text(encoding="utf-8"), groups), encoding="utf-8")
