"""Agents of the user's own in what was typed: imported first, since their options are not known before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rewirl.agents import agent_entry
from rewirl.presets.lookup import preset
from rewirl.presets.preset_file import SUFFIX
from rewirl.toml_file import read_toml


def import_agent(arguments: Sequence[str]) -> str | None:
    """Import the module of the agent that a run's arguments name: `--agent module:NAME`, or the file of a preset.

    Returns:
        The agent's name; None if they name none of the user's own.

    Raises:
        ValueError: the module cannot be imported, or enters no such agent; or the preset cannot be read.
    """
    agent = None
    for argument, following in pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        value = value if equals else following
        if name == "--agent":
            agent = value
        elif name == "--preset" and value.endswith(SUFFIX):
            agent = agent or preset(value).agent
    if agent is None or ":" not in agent:
        return None
    return agent_entry(agent).name


def import_agents_of_sweep(arguments: Sequence[str]) -> None:
    """Import the modules of the agents that a sweep file names, wherever it does.

    Args:
        arguments: of the command; the file is one of them. What is wrong with it is said when it is read.

    Raises:
        ValueError: a module cannot be imported, or enters no such agent.
    """
    for argument in arguments:
        if argument.endswith(SUFFIX) and Path(argument).is_file():
            for agent in _agents_in(read_toml(Path(argument), "a sweep file")):
                if ":" in agent:
                    agent_entry(agent)


def _agents_in(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the agents that a sweep file names, in its parts and for warm-ups too, and those of presets in files."""
    groups = content.get("runs")
    for table in (content, *(groups if isinstance(groups, list) else ())):
        if not isinstance(table, dict):
            continue
        warm_up = table.get("warm_up_policy", table.get("warm-up-policy"))
        sources = [each.get("agent") for each in _listed(warm_up) if isinstance(each, dict)]
        yield from (agent for agent in (*_listed(table.get("agents")), *sources) if isinstance(agent, str))
        for name in _listed(table.get("presets")):
            if isinstance(name, str) and name.endswith(SUFFIX):
                with contextlib.suppress(ValueError):  # it is no preset; what reads the sweep says so, and where
                    yield preset(name).agent


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
