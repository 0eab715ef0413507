"""Every option of a run by its name on the command line: which settings it belongs to, and which values it takes."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewirl.agents import agent_entry
from rewirl.presets import lookup as presets
from rewirl.topology.config import making_room
from rewirl.training.config import TrainConfig

AXES = ("agent", "env", "seed")
"""Fields of TrainConfig that a sweep has lists of its own for."""

INDIFFERENT = ("threads", "checkpoint_every", "keep_checkpoints")
"""Options that change neither what a run learns nor what is measured of it."""

_UNNAMED = (*AXES, *INDIFFERENT, "env_module")


class SweepError(ValueError):
    """A sweep cannot be made as it is described; the message says where, why and what there is."""


@dataclass(frozen=True)
class Option:
    """One option of a run."""

    name: str
    """As in the settings, with underscores."""
    kind: Any
    """Its type: bool, int, float, str, dict, a Literal, a tuple of numbers, or one of these or None."""
    place: str
    """"train", "agent" or "topology": the settings it is a field of."""


def options(agent: str) -> dict[str, Option]:
    """Return the options of an agent's runs by name, those of a sweep's own lists left out.

    Raises:
        ValueError: there is no such agent; the nearest one is named.
    """
    return dict(_options(agent))


@functools.cache  # it evaluates type hints, which are text, and a sweep asks for every option of every run
def _options(agent: str) -> dict[str, Option]:
    kind = agent_entry(agent).config
    topology = typing.get_type_hints(kind)["topology"]
    found: dict[str, Option] = {}
    for place, settings in (("train", TrainConfig), ("agent", kind), ("topology", topology)):
        hints = typing.get_type_hints(settings)
        for field in dataclasses.fields(settings):
            if field.name not in (*AXES, "topology"):
                found[field.name] = Option(field.name, hints[field.name], place)
    return found


def takes_a_list(option: Option) -> bool:
    """Tell whether a value of the option is itself a list, such as hidden_sizes."""
    return any(typing.get_origin(kind) is tuple for kind in _alternatives(option.kind))


def checked(option: Option, raw: Any) -> Any:
    """Return a value of an option as the settings have it: a list as a tuple, a whole number as a float where due.

    Raises:
        ValueError: it is not of the option's type; says what is.
    """
    for kind in _alternatives(option.kind):
        try:
            value = _as(kind, raw)
        except OverflowError:  # a whole number too large for a float
            continue
        if value is not None:
            return value
    wanted = " or ".join(_words(kind) for kind in _alternatives(option.kind))
    raise ValueError(f"must be {wanted}, got {raw!r}")


def settings(agent: str, env: str, seed: int, chosen: Mapping[str, Any]) -> tuple[TrainConfig, Any]:
    """Return the settings of a run and of its agent: the defaults, but for what is chosen.

    Args:
        agent: its name.
        env: the environment's id.
        seed: of the run.
        chosen: checked values by option; one thread unless there is another number of `threads`.

    Raises:
        ValueError: the values are impossible, or do not go together.
    """
    known, base = options(agent), presets.agent_config(agent, env)
    of: dict[str, dict[str, Any]] = {"train": {"threads": 1}, "agent": {}, "topology": {}}
    for name, value in chosen.items():
        of[known[name].place][name] = value
    topology = of["topology"]
    room = making_room(base.topology, [name for name, value in topology.items() if value is not None])
    config = TrainConfig(agent=agent, env=env, seed=seed, **of["train"])
    return config, dataclasses.replace(base, topology=dataclasses.replace(room, **topology), **of["agent"])


def of_preset(name: str) -> tuple[str, str, dict[str, Any]]:
    """Return what a preset stands for: agent, environment, and the options in which it differs from their defaults.

    Raises:
        ValueError: there is no such preset; the nearest one is named.
    """
    found = presets.preset(name)
    base = presets.agent_config(found.agent, found.env)
    different = {
        field.name: value
        for own, usual in ((found.config, base), (found.config.topology, base.topology))
        for field in dataclasses.fields(own)
        if field.name != "topology" and (value := getattr(own, field.name)) not in (None, getattr(usual, field.name))
    }
    return found.agent, found.env, {**different, **found.train}


def differing(config: TrainConfig, agent_config: Any) -> dict[str, Any]:
    """Return the options in which a run differs from the defaults of its agent and environment, in a fixed order.

    Left out are those that change nothing that is learnt or measured, and what is None.
    """
    base = presets.agent_config(config.agent, config.env)
    pairs = ((config, TrainConfig()), (agent_config, base), (agent_config.topology, base.topology))
    return {
        field.name: getattr(own, field.name)
        for own, usual in pairs
        for field in dataclasses.fields(own)
        if field.name not in (*_UNNAMED, "topology")
        and getattr(own, field.name) not in (None, getattr(usual, field.name))
    }


def _alternatives(kind: Any) -> list[Any]:
    members = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    return [member for member in members if member is not type(None)]


def _as(kind: Any, raw: Any) -> Any:
    """Return the value as this type has it, or None."""
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return raw if raw in typing.get_args(kind) else None
    if origin is tuple:
        items = [_as(typing.get_args(kind)[0], item) for item in raw] if isinstance(raw, (list, tuple)) else []
        return tuple(items) if items and None not in items else None
    if origin is dict:
        return raw if isinstance(raw, dict) else None
    if kind is float and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return float(raw)
    return raw if type(raw) is kind else None


def _words(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    if origin is tuple:
        return f"a list of which each is {_words(typing.get_args(kind)[0])}"
    if origin is dict:
        return "a table"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}[kind]
