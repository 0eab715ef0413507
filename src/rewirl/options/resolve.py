"""From what was asked for to settings: one way for the command line, Python, sweeps, presets and benchmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from rewirl.agents import AgentConfig, agent_entry
from rewirl.exact import exactly
from rewirl.options.option import AXES, INDIFFERENT, Option, options
from rewirl.options.train import TrainConfig
from rewirl.options.unknown import UnknownOptionError, unknown_option
from rewirl.presets import lookup
from rewirl.presets.preset_file import SUFFIX

_UNNAMED = (*AXES, *INDIFFERENT, "env_module")
AMOUNTS = ("sparsity", "lambdas", "layer_sparsities")
"""Options that say how many connections there are: of those that are there, the last one does."""


class Settings(NamedTuple):
    """All that decides a run."""

    run: TrainConfig
    agent: AgentConfig
    """The agent's settings, topology included."""

    def value(self, option: Option) -> Any:
        """Return the value that an option has."""
        of = {"run": self.run, "agent": self.agent, "topology": self.agent.topology}[option.part]
        return getattr(of, option.name)


def resolve(request: Mapping[str, Any]) -> Settings:
    """Return the settings that somebody asked for.

    Where the request is silent, a preset decides if one is named; then Sokar et al. for the number of connections in
    their environments; then the agent's entry in the registry; then the defaults of the settings.

    Args:
        request: values by option name, as far as they differ from the defaults; each stands for the option's type
            exactly. `preset` is the name of a preset, which says agent and environment too.

    Raises:
        ValueError: an option is unknown, or its value impossible; or values do not go together.
    """
    try:
        return _resolved(request)
    except ValueError as error:
        _blame_preset(request, error)
        raise


def _blame_preset(request: Mapping[str, Any], error: ValueError) -> None:
    """Say which preset file is at fault, if it is one that cannot be even by itself."""
    name = request.get("preset")
    if not isinstance(name, str) or not name.endswith(SUFFIX) or name in str(error):
        return
    try:
        _resolved({"preset": name})
    except ValueError as own:
        kind = type(own) if isinstance(own, UnknownOptionError) else ValueError
        raise kind(f"the preset {name}: {own}") from error


def _resolved(request: Mapping[str, Any]) -> Settings:
    """Return the settings of a request; see `resolve`."""
    requested = dict(request)
    name = exactly(str | None, requested.pop("preset", None), "preset")
    preset: Mapping[str, Any] = {}
    if name is not None:
        named = lookup.preset(name)
        for axis, value in (("agent", named.agent), ("env", named.env)):
            if requested.setdefault(axis, value) != value:
                raise ValueError(f"preset {name} is for {axis} {value}, not {requested[axis]}; leave one out")
        preset = named.options
    agent = exactly(str, requested.setdefault("agent", TrainConfig.agent), "agent")
    env = exactly(str, requested.setdefault("env", TrainConfig.env), "env")
    known, entry = options(agent), agent_entry(agent)
    values = {field.name: getattr(entry.topology, field.name) for field in dataclasses.fields(entry.topology)}
    for layer in (entry.usual, lookup.defaults(agent, env), preset, requested):
        unknown = next((option for option in layer if option not in known), None)
        if unknown is not None:
            raise unknown_option(agent, unknown, known)
        checked = {option: known[option].value(value) for option, value in layer.items()}
        _make_room(values, checked)
        values |= checked
    topology = type(entry.topology)(
        **{field.name: values.pop(field.name) for field in dataclasses.fields(entry.topology)}
    )
    of = {part: {n: v for n, v in values.items() if known[n].part == part} for part in ("run", "agent")}
    _refuse_beyond_float32(of["agent"])
    return Settings(TrainConfig(**of["run"]), entry.config(topology=topology, **of["agent"]))


def _refuse_beyond_float32(values: Mapping[str, Any]) -> None:
    """Refuse what the core, which computes in float32, would take for 0 or infinity; old records may have it."""
    for name, value in values.items():
        if isinstance(value, float) and value != 0 and isfinite(value):
            with np.errstate(over="ignore", under="ignore"):
                rounded = np.float32(value)
            if rounded == 0 or not isfinite(rounded):
                raise ValueError(f"{name} is {value}, which is {rounded} in float32")


def agent_settings(agent: str, env: str, **request: Any) -> AgentConfig:
    """Return the settings of an agent in an environment, as `resolve` does.

    Args:
        agent: its name in the registry.
        env: the environment's id, such as "HalfCheetah-v5".
        **request: values by option name, as far as they differ from the defaults.

    Raises:
        ValueError: there is no such agent or option, or a value is impossible.
    """
    return resolve({"agent": agent, "env": env, **request}).agent


def papers_settings(agent: str, env: str, **request: Any) -> AgentConfig:
    """Return the settings of Sokar et al. 2022 for an agent in any environment; arguments as for `agent_settings`."""
    return agent_settings(agent, env, **{**lookup.protocol(agent), **request})


def changed(config: TrainConfig, **values: Any) -> TrainConfig:
    """Return the settings of a run with other values for some options.

    Raises:
        ValueError: a value is impossible; names the option.
    """
    known = options(config.agent)
    return dataclasses.replace(config, **{name: known[name].value(value) for name, value in values.items()})


def differing(config: TrainConfig, agent_config: AgentConfig) -> dict[str, Any]:
    """Return the options in which a run differs from the settings of Sokar et al. 2022, in a fixed order.

    These never change, so the same run is described alike by every version. Left out are options that change nothing
    that is learnt or measured, and what is None.
    """
    defaults = papers_settings(config.agent, config.env)
    pairs = ((config, TrainConfig()), (agent_config, defaults), (agent_config.topology, defaults.topology))
    return {
        field.name: getattr(own, field.name)
        for own, usual in pairs
        for field in dataclasses.fields(own)
        if field.name not in (*_UNNAMED, "topology")
        and getattr(own, field.name) not in (None, getattr(usual, field.name))
    }


def overruled(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options of how many connections there are that count for nothing, as another one is there too.

    Records of before have such: a default that nobody asked for, beside what was asked for.

    Args:
        values: of a topology, by name.
    """
    there = [number for number, name in enumerate(AMOUNTS) if values.get(name) is not None]
    return AMOUNTS[: max(there, default=0)]


def beneath(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier layer of options still says under a later one, which goes before it.

    Args:
        earlier: by name, such as those of a sweep file.
        later: by name, such as those of the command line. One that says how many connections there are stands for all.
    """
    ways = AMOUNTS if any(later.get(name) is not None for name in AMOUNTS) else ()
    return {name: value for name, value in earlier.items() if name not in later and name not in ways}


GIVING_WAY = ("learning_rate_end", "learning_rate_updates", "drop", "grow")
"""Options whose default another option may take out, beside AMOUNTS: see `_make_room`."""


def _make_room(values: dict[str, Any], requested: Mapping[str, Any]) -> None:
    """Take out of the values so far what is said in another way now.

    Raises:
        ValueError: two options say how many connections there are, or one spreads what is not asked for.
    """
    ways = [name for name in AMOUNTS if requested.get(name) is not None]
    if len(ways) > 1:
        each = "both" if len(ways) == 2 else "all"
        raise ValueError(f"{' and '.join(ways)} {each} say how many connections there are; give one of them")
    by_layer = not ways and (values["lambdas"], values["layer_sparsities"]) != (None, None)
    for name, does in (
        ("distribution", "distribution spreads a sparsity over the layers"),
        ("sparsity_schedule", "sparsity_schedule adaptive is bounded by a sparsity"),
    ):
        if by_layer and requested.get(name, values[name]) != values[name]:
            raise ValueError(f"{does}, but lambdas or layer_sparsities are the default here; give sparsity too")
    if ways:
        values |= {name: None for name in AMOUNTS if name not in ways}
    if requested.get("learning_rate_schedule") == "constant":  # which an agent's own may not be
        values |= {"learning_rate_end": 0.0, "learning_rate_updates": None}
    if requested.get("rule") == "wast":  # which has criteria of its own
        values |= {"drop": "paper", "grow": "paper"}
