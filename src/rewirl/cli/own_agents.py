"""Agents of the user's own in what was typed: imported first, since their options are not known before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rewirl.agents import agent_name
from rewirl.presets.lookup import preset
from rewirl.presets.preset_file import SUFFIX
from rewirl.toml_file import read_toml


def import_agents(arguments: Sequence[str]) -> None:
    """Import the modules of the agents that a run's arguments name: `--agent module:NAME`, or the file of a preset.

    Raises:
        ValueError: a module cannot be imported, or enters no such agent; or the preset cannot be read.
    """
    for argument, following in pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        value = value if equals else following
        if name == "--agent":
            agent_name(value)
        elif name == "--preset" and value.endswith(SUFFIX):
            agent_name(preset(value).agent)


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
                agent_name(agent)


def _agents_in(content: Any) -> Iterator[str]:
    """Yield the agents that the tables of a sweep file name, and those of its presets that are files."""
    if isinstance(content, list):
        for item in content:
            yield from _agents_in(item)
    elif isinstance(content, dict):
        for name, value in content.items():
            words = [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
            if name in ("agent", "agents"):
                yield from words
            elif name == "presets":
                yield from (preset(word).agent for word in words if word.endswith(SUFFIX))
            yield from _agents_in(value)
