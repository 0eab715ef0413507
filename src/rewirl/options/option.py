"""Every option of a run by its name: its type, its help, and the settings that it belongs to."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rewirl.agents import AGENTS, agent_entry
from rewirl.exact import alternatives, exactly, type_hints
from rewirl.options.train import TrainConfig
from rewirl.storage.values import from_text

AXES = ("agent", "env", "seed")
"""Options that a sweep has lists of its own for."""

INDIFFERENT = ("threads", "checkpoint_every", "keep_checkpoints", "env_processes")
"""Options that change neither what a run learns nor what is measured of it."""

Part = Literal["run", "agent", "topology"]

_TYPICAL = re.compile(r"Typical: (-?[0-9][0-9.e-]*) to (-?[0-9][0-9.e-]*)(?:\.$|\. |, )")


@dataclass(frozen=True)
class Option:
    """One option of a run."""

    name: str
    """As in the settings, with underscores."""
    kind: Any
    """Its type: bool, int, float, str, dict, a Literal, a tuple of numbers, or one of these or None."""
    part: Part
    """Whose setting it is: of the run, of its agent, or of the agent's topology."""
    settings: type[Any]
    """The dataclass of which it is a field; the field's docstring is the option's help."""

    @property
    def help(self) -> str:
        """What it means, and the values that are typical."""
        settings: Any = self.settings
        return _helps(settings).get(self.name, "")

    @property
    def typical(self) -> tuple[str, str] | None:
        """The least and the largest typical value, as one would type them; None where help says no range."""
        match = _TYPICAL.search(self.help)
        return None if match is None else (match[1], match[2])

    @property
    def optional(self) -> bool:
        """Whether it may be None."""
        return type(None) in alternatives(self.kind)

    @property
    def takes_a_list(self) -> bool:
        """Whether its value is itself a list, such as that of hidden_sizes."""
        return any(typing.get_origin(kind) is tuple for kind in alternatives(self.kind))

    def value(self, value: Any) -> Any:
        """Return a value as the settings have it.

        Raises:
            ValueError: it is not exactly one of the option's type; names the option and says what is.
        """
        if self.kind is str and isinstance(value, type):
            named = f"{value.__module__}:{value.__qualname__}"
            raise ValueError(f"{self.name} must be a word, got a class; give its name: {self.name}={named!r}")
        return exactly(self.kind, value, self.name)

    def read(self, words: list[str]) -> Any:
        """Return the value that words on the command line stand for; raises as `value`."""
        return from_text(self.kind, words, self.name)


def options(agent: str) -> Mapping[str, Option]:
    """Return every option of an agent's runs by name, in the order of --help: those of run, agent and topology.

    Raises:
        ValueError: there is no such agent; the nearest one is named.
    """
    entry = agent_entry(agent)
    config: Any = entry.config
    return _options(config, frozenset(entry.without))


def all_options() -> dict[str, Option]:
    """Return every option of any agent's runs by name."""
    known: dict[str, Option] = {}
    for agent in AGENTS:
        with contextlib.suppress(ValueError):  # one of the user's own is refused where it is asked for
            known |= options(agent)
    return known


@functools.cache  # it evaluates type hints, which are text, and a sweep asks for every option of every run
def _options(config: Any, without: frozenset[str]) -> Mapping[str, Option]:
    topology = type_hints(config)["topology"]
    parts: tuple[tuple[Part, type[Any]], ...] = (("run", TrainConfig), ("agent", config), ("topology", topology))
    result: dict[str, Option] = {}
    for part, settings in parts:
        hints = type_hints(settings)
        for field in dataclasses.fields(settings):
            if field.name == "topology" or field.name in without:
                continue
            if field.name in result:
                other = result[field.name].settings.__name__
                raise ValueError(f"{field.name} is a setting of {settings.__name__} and of {other}; rename the first")
            result[field.name] = Option(field.name, hints[field.name], part, settings)
    return result


@functools.cache
def _helps(settings: Any) -> dict[str, str]:
    """Return the docstrings of a dataclass's fields, those of its parents included, each on one line."""
    import docstring_parser  # only --help and messages need it, and it reads source files

    return {
        entry.arg_name: " ".join(entry.description.split())
        for owner in reversed(settings.__mro__[:-1])
        for entry in docstring_parser.parse_from_object(owner).params
        if entry.description
    }
