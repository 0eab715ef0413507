"""The sweep file: TOML with lists of agents, environments and seeds, and options of a run with one value or several.

A named experiment is such a file that comes with the package, in `experiments/sweeps`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewirl.agents import agent_entry
from rewirl.exact import exactly
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.names import LONGEST_LABEL
from rewirl.hints import closest, did_you_mean
from rewirl.options.option import AXES, Option, options
from rewirl.options.resolve import beneath
from rewirl.options.train import TrainConfig
from rewirl.options.unknown import in_the_shell, unknown_option
from rewirl.presets.lookup import PAPERS, preset
from rewirl.presets.lookup import names as preset_names
from rewirl.printing import program
from rewirl.toml_file import read_toml

EXPERIMENTS = Path(__file__).parents[1] / "sweeps"
MOST_RUNS = 10_000

_LISTS = ("agents", "envs", "seeds")
_DESCRIPTION, _GROUPS, _WARM_UP, _PRESETS, _LABEL = "description", "runs", "warm_up_policy", "presets", "label"
_PAPER = "paper"
_ENVIRONMENT = ("env_kwargs", "env_module", "wrapper")
"""Options of the environment, which a run and the one whose policy it starts from have in common."""
_KEYS = (*_LISTS, _LABEL, _PAPER)
"""What a file says besides options."""


@dataclass(frozen=True)
class RunRequest:
    """One run that a sweep file asks for."""

    agent: str
    env: str
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the defaults."""
    warm_up: RunRequest | None = None
    """The run whose policy chooses the first actions."""
    where: str = ""
    """File and part of it, for messages."""
    label: str = ""
    """Stands for the agent in the name of its directory; empty is the agent."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says."""

    name: str
    description: str
    requests: tuple[RunRequest, ...]
    """Seed by seed, so that there is something to compare early."""


def experiments() -> dict[str, str]:
    """Return the named experiments with what their files say they are."""
    descriptions = {}
    for path in sorted(EXPERIMENTS.rglob("*.toml"), key=_in_order):
        descriptions[path.relative_to(EXPERIMENTS).with_suffix("").as_posix()] = str(
            _parsed(path).get(_DESCRIPTION, "")
        )
    return descriptions


def read_sweep(source: str, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """Read a sweep.

    Args:
        source: the name of an experiment, or a TOML file.
        overrides: options that hold for every run, whatever the file says; checked values.

    Raises:
        SweepError: there is no such experiment or file, or something in it is unknown or impossible; names where.
    """
    path = Path(source)
    if path.suffix != ".toml" and not path.is_file():
        named = EXPERIMENTS / f"{source}.toml"
        if source not in experiments():
            own = path.parent / f"{path.name}.toml"  # a path such as . has no name
            hint = did_you_mean(source, experiments(), see=f"{program()} sweep --help")
            hint = f"did you mean {own}?" if path.name and own.is_file() else hint
            hint = f"it is a preset: {program()} train --preset {source}" if source in preset_names() else hint
            stop = "" if hint.endswith("?") else "."
            own_file = "A sweep of other agents, environments or seeds is a TOML file (docs/sweeps.md)"
            raise SweepError(f"no experiment {source!r}, and no such file; {hint.rstrip('.')}{stop} {own_file}")
        path = named
    content = _parsed(path)
    description = content.pop(_DESCRIPTION, "")
    if not isinstance(description, str):
        raise SweepError(f"{path}: {_DESCRIPTION} must be text, got {description!r}")
    groups = content.pop(_GROUPS, None)
    if groups is not None and not (isinstance(groups, list) and groups and all(isinstance(g, dict) for g in groups)):
        raise SweepError(f"{path}: {_GROUPS} must be one or more tables that begin with [[{_GROUPS}]]")
    common = _normalised(content, str(path))
    requests: list[RunRequest] = []
    for number, group in enumerate(groups or [{}], 1):
        where = f"{path}: [[{_GROUPS}]] {number}" if groups else str(path)
        part = _normalised(group, where)
        if _DESCRIPTION in part:
            raise SweepError(f"{where}: {_DESCRIPTION} is of the whole file; write it above the first [[{_GROUPS}]]")
        for run in _runs(common, part, dict(overrides or {}), where):
            if len(requests) == MOST_RUNS:
                raise SweepError(f"{where}: that is more than {MOST_RUNS:,} runs")
            requests.append(run)
    requests.sort(key=lambda run: run.seed)
    return Sweep(source, description, tuple(requests))


def narrowed(sweep: Sweep, agents: Sequence[str] = (), envs: Sequence[str] = (), seeds: Sequence[int] = ()) -> Sweep:
    """Return a sweep with the runs of some agents, environments and seeds only; nothing given keeps all.

    Raises:
        SweepError: the sweep has none of one of them.
    """
    kept = sweep.requests
    for word, name, selected in (("agent", "agent", agents), ("environment", "env", envs), ("seed", "seed", seeds)):
        available = dict.fromkeys(getattr(run, name) for run in sweep.requests)
        for value in selected:
            if value not in available:
                raise SweepError(
                    f"{sweep.name} has no {word} {value}; {did_you_mean(str(value), map(str, available))}. For others, "
                    "copy its file"
                )
        if selected:
            kept = tuple(run for run in kept if getattr(run, name) in selected)
    if not kept:
        raise SweepError(f"{sweep.name} has no run with that agent, environment and seed together")
    return Sweep(sweep.name, sweep.description, kept)


def _in_order(path: Path) -> tuple[bool, str]:
    # The whole paper in the order of its tables and figures, then what it does not have.
    return not any(path.stem.startswith(word) for word in ("table", "figure", "memory")), path.as_posix()


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path, "a sweep file")
    except ValueError as error:
        raise SweepError(str(error)) from error


def _normalised(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a table with underscores in its keys, for those who write options as on the command line."""
    normalised: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in normalised:
            raise SweepError(f"{where}: {key} is there twice")
        normalised[name] = value
    return normalised


def _runs(
    common: Mapping[str, Any], group: Mapping[str, Any], overrides: Mapping[str, Any], where: str
) -> Iterable[RunRequest]:
    both = {**beneath(common, group), **group}
    if _PRESETS in both:
        yield from _of_presets(common, group, overrides, where)
        return
    agents, envs, seeds = (_list(both, name, where) for name in _LISTS)
    label = _label(both, where)
    shared = common if _PAPER not in both else {**common, _PAPER: both[_PAPER]}
    for agent in agents:
        said = {name: value for name, value in both.items() if name not in _KEYS}
        options_in_file, axes = {**_of_paper(both, agent, where), **said}, {}
        kept = {*beneath(options_in_file, overrides), *overrides}
        options_in_file = {name: raw for name, raw in options_in_file.items() if name in kept}
        for name, raw in options_in_file.items():
            if name in overrides:
                _option(agent, name, where, _KEYS)
                axes[name] = [overrides[name]]
            elif name == _WARM_UP:
                references = raw if isinstance(raw, list) else [raw]
                axes[name] = [_warm_up(reference, shared, overrides, where) for reference in references]
            else:
                axes[name] = _values(agent, name, raw, where)
            if not axes[name]:
                raise SweepError(f"{where}: {name} is an empty list")
        for name, value in overrides.items():
            _option(agent, name, f"--{name.replace('_', '-')}", ())
            axes[name] = [value]
        # One product of all, which is not multiplied out before it is counted.
        for env, *values in itertools.product(envs, *axes.values()):
            options_ = dict(zip(axes, values, strict=True))
            reference = options_.get(_WARM_UP)
            for seed in seeds:
                if isinstance(reference, RunRequest):
                    options_of_source = _in_the_environment(reference, agent, options_)
                    source = RunRequest(reference.agent, env, seed, options_of_source, None, reference.where)
                    rest = {name: value for name, value in options_.items() if name != _WARM_UP}
                    yield RunRequest(agent, env, seed, rest, source, where, label)
                else:
                    yield RunRequest(agent, env, seed, options_, None, where, label)


def _of_presets(
    common: Mapping[str, Any], group: Mapping[str, Any], overrides: Mapping[str, Any], where: str
) -> Iterable[RunRequest]:
    """Yield the runs of presets, which say agent and environment; options of file and group override theirs."""
    both = {**beneath(common, group), **group}
    names = both.pop(_PRESETS)
    _of_paper(both, "td3", where)  # it is refused if there is no such paper
    both.pop(_PAPER, None)  # a preset has all settings of its own
    said = [name for name in ("agents", "envs") if name in (group if _PRESETS in group else both)]
    if said:
        raise SweepError(f"{where}: presets say agents and environments; leave {' and '.join(said)} out")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise SweepError(f'{where}: presets must be a list of names, for example ["rlx2/td3/Ant-v5"], got {names!r}')
    for name in dict.fromkeys(names):
        try:
            paper = preset(name)
        except ValueError as error:
            raise SweepError(f"{where}: {error}") from error
        own = {key: list(value) if isinstance(value, tuple) else value for key, value in paper.options.items()}
        shared = {key: value for key, value in common.items() if key not in (_PRESETS, _PAPER)}
        label = Path(name).stem if name.endswith(".toml") else "-".join(name.split("/")[:-1])
        own[_LABEL] = re.sub(r"[^A-Za-z0-9_.-]+", "-", label).lstrip("_.-")[:LONGEST_LABEL] or paper.agent
        yield from _runs(
            shared, {**beneath(own, both), **both, "agents": [paper.agent], "envs": [paper.env]}, overrides, where
        )


def _of_paper(table: Mapping[str, Any], agent: str, where: str) -> Mapping[str, Any]:
    """Return the options that the paper of a file or part gives an agent; none if it names no paper."""
    paper = table.get(_PAPER)
    if paper is None:
        return {}
    if not isinstance(paper, str) or paper not in PAPERS:
        raise SweepError(f"{where}: no paper {paper!r}; {did_you_mean(str(paper), PAPERS)}")
    return PAPERS[paper](agent)


def _label(table: Mapping[str, Any], where: str) -> str:
    label = table.get(_LABEL, "")
    if not isinstance(label, str) or (
        _LABEL in table and not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_LABEL - 1}}}", label)
    ):
        raise SweepError(
            f'{where}: {_LABEL} must be a word of at most {LONGEST_LABEL} letters, digits and "_.-", such as "rigl"; '
            f"got {label!r}"
        )
    return label


def _list(table: Mapping[str, Any], name: str, where: str) -> list[Any]:
    example = {"agents": '["td3", "ds-td3"]', "envs": '["HalfCheetah-v5"]', "seeds": "[0, 1, 2]"}[name]
    raw, kind = table.get(name), int if name == "seeds" else str
    try:
        listed = [exactly(kind, item, name) for item in raw] if isinstance(raw, list) else []
    except ValueError:
        listed = []
    if not listed:
        problem = "is missing" if raw is None else f"must be a list of {kind.__name__}, got {raw!r}"
        typed = closest(name, table, 0.75) if raw is None else None
        instead = "" if typed is None else f" (is it what {typed} means?)"
        raise SweepError(f"{where}: {name} {problem}{instead}; for example {name} = {example}")
    if name == "agents":
        listed = [_agent(agent, where) for agent in listed]
    if name == "seeds" and min(listed) < 0:
        raise SweepError(f"{where}: seeds must not be negative, got {min(listed)}")
    return list(dict.fromkeys(listed))


def _agent(said: Any, where: str) -> str:
    """Return the name of an agent that there is."""
    try:
        name: str = exactly(str, said, "agent")
        agent_entry(name)
    except ValueError as error:
        raise SweepError(f"{where}: {error}") from error
    return name


def _option(agent: str, name: str, where: str, lists: Iterable[str]) -> Option:
    known = {key: option for key, option in options(agent).items() if key not in AXES}
    if name not in known:
        raise SweepError(f"{where}: {unknown_option(agent, name, [*lists, *known], in_the_shell(agent))}")
    return known[name]


def _values(agent: str, name: str, raw: Any, where: str) -> list[Any]:
    """Return the values of an option: one, or each of a list. One value of hidden_sizes is a list itself."""
    option = _option(agent, name, where, _KEYS)
    several = isinstance(raw, list) and not (option.takes_a_list and not any(isinstance(v, list) for v in raw))
    try:
        return [option.value(value) for value in (raw if several else [raw])]
    except ValueError as error:
        raise SweepError(f"{where}: {error}") from error


def _warm_up(raw: Any, common: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> str | RunRequest:
    """Return a directory as it is, and a table such as {agent = "td3"} as the run it describes."""
    if isinstance(raw, str) and raw:
        return raw
    where = f"{where}: {_WARM_UP}"
    if not isinstance(raw, dict) or "agent" not in raw:
        raise SweepError(
            f'{where} must be a directory, or a run of this sweep such as {{agent = "td3", total_timesteps = 500_000}},'
            f" got {raw!r}"
        )
    agent = _agent(raw["agent"], where)
    own = {name: value for name, value in _normalised(raw, where).items() if name != "agent"}
    shared = {name: value for name, value in common.items() if name not in (*_KEYS, _WARM_UP, *_ENVIRONMENT)}
    values_by_name: dict[str, Any] = {}
    for name, value in {**_of_paper(common, agent, where), **beneath(shared, own), **own}.items():
        if name == _WARM_UP:
            raise SweepError(f"{where}: a run that others wait for cannot wait for another one itself")
        values = _values(agent, name, value, where)
        if len(values) != 1:
            raise SweepError(f"{where}: {name} must have one value here, got {value!r}")
        values_by_name[name] = values[0]
    return RunRequest(agent, "", 0, {**beneath(values_by_name, overrides), **overrides}, None, where)


def _in_the_environment(source: RunRequest, agent: str, options_: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a source with the environment of the run that waits for it: a part may have its own."""
    here = {name: value for name, value in options_.items() if name in _ENVIRONMENT}
    for name in source.options.keys() & set(_ENVIRONMENT):
        if source.options[name] != here.get(name, getattr(TrainConfig(), name)):
            raise SweepError(
                f"{source.where}: {name} is {source.options[name]!r}, and the run of {agent} that starts from this "
                f"policy has {here.get(name) or 'none'}; leave it out here, the environment is the same"
            )
    return {**source.options, **here}
