"""Tables of returns on pages, from the runs that are kept: `write_results.py` fills them in.

A page says in a comment what its table has, and after an empty line the table follows. The first form has a row for
each agent, the second one for each task, and one for all of them together:

<!-- returns of td3, ds-td3 on HalfCheetah-v5: seeds, connections, 100k, final -->
<!-- final returns of td3, ds-td3 on HalfCheetah-v5, Hopper-v5, and of ds-td3 less td3 -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import published
from rewirl.experiments.report.judge import Finding, judge
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.words import area, bounds, mean_and_deviation, shown, signed, signed_percent

ASKED = re.compile(r"(<!-- returns of ([\w\s,-]+) on ([\w\s,-]+): ([\w\s,/'-]+) -->\n\n)(?:\|.*\n)*")
"""The comment with agents, environments and columns, and the table that is there."""

COMPARED = re.compile(
    r"(<!-- final returns of ([\w\s,-]+) on ([\w\s,-]+),\s+and\s+of\s+([\w-]+)\s+less\s+([\w-]+) -->\n\n)(?:\|.*\n)*"
)
"""The comment with agents, environments, and which agent is compared with which other, and the table that is there."""

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

    def compared(match: re.Match[str]) -> str:
        return match[1] + _comparison(_listed(match[2]), _listed(match[3]), match[4], match[5], groups)

    return COMPARED.sub(compared, ASKED.sub(again, page))


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _table(agents: list[str], envs: list[str], columns: list[str], groups: Sequence[RunGroup]) -> str:
    found = _by_task(agents, envs, groups)
    several = len(envs) > 1
    rows = [["task"] * several + ["agent", *columns], ["---"] * (several + 1) + ["---:"] * len(columns)]
    for env in envs:
        for number, agent in enumerate(agents):
            name = [env if number == 0 else ""] * several + [AGENTS[agent]]
            rows.append([*name, *(_cell(column, found[env, agent]) for column in columns)])
    return _markdown(rows)


def _comparison(agents: list[str], envs: list[str], agent: str, other: str, groups: Sequence[RunGroup]) -> str:
    found = _by_task([*agents, agent, other], envs, groups)
    findings = {
        item.env: item
        for item in judge(groups)
        if (item.claim.agent, item.claim.other, item.claim.measure) == (agent, other, "final")
    }
    rows = [
        ["task", *map(AGENTS.__getitem__, agents), f"`{agent}` less `{other}` (95% Welch)", "paper", "verdict"],
        ["---", *["---:"] * (len(agents) + 2), "---"],
    ]
    for env in envs:
        of = [found[env, name] for name in agents]
        numbers = [f"{mean_and_deviation(group.finals())} ({len(group.full())})" for group in of]
        of_paper = [published.numbers_of(name, env) for name in (agent, other)]
        papers = signed(of_paper[0].final - of_paper[1].final) if of_paper[0] and of_paper[1] else ""
        rows.append([env, *numbers, _difference(findings[env], signed), papers, findings[env].verdict])
    if None in findings:
        together = findings[None]
        share = f"{_difference(together, signed_percent)} of `{other}`"
        rows.append([f"{together.tasks} tasks together", *[""] * len(agents), share, "", together.verdict])
    return _markdown(rows)


def _difference(finding: Finding, show: Callable[..., str]) -> str:
    if finding.test is None:
        return "-"
    estimate = finding.test.estimate
    return f"{shown(show, estimate.value, estimate)} ({bounds(estimate, min(finding.runs), show)})"


def _by_task(
    agents: Sequence[str], envs: Sequence[str], groups: Sequence[RunGroup]
) -> dict[tuple[str, str | None], RunGroup]:
    found = {(group.env, group.of_paper): group for group in groups}
    for env in envs:
        for agent in agents:
            if (env, agent) not in found:
                raise ValueError(f"a page asks for {agent} on {env}, of which no runs are kept")
    return found


def _markdown(rows: Sequence[Sequence[str]]) -> str:
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
