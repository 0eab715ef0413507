"""From what was typed to options: tyro finds the words of each option, `rewirl.options` says what they mean."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import tyro

from rewirl.cli import elsewhere
from rewirl.cli.commands import COMMANDS
from rewirl.cli.errors import UsageError, usage_errors
from rewirl.cli.fields import Field, Words, by_its_place, dashed, leaves, original, own, spec
from rewirl.cli.own_agents import import_agent
from rewirl.hints import did_you_mean
from rewirl.options.option import Option, all_options, options
from rewirl.options.resolve import Settings, resolve
from rewirl.printing import program, quoted_path, text_only

_PRESET: Field = (
    str | None,
    None,
    "Settings of agent, environment and topology by name, such as ds-drl/ds-td3/HalfCheetah-v5 for a paper's (see "
    "rewirl presets), or a TOML file, such as rewirl tune writes. None has the defaults of the agent: sparse TD3 and "
    "SAC have the paper's connections in its five environments.",
)

_HELP = ("-h", "--help")
_OF_RUNS = ("train", "tune", "inspect", "sweep")
"""Commands with the options of a run, of which other programs have names of their own."""
_OF_A_RUN = {"--run", "--runs", "--run-dir", "--directory"}
"""What may be said before a run where it has no such name."""


def parse(
    command: str,
    arguments: list[str],
    about: str | None = None,
    overrides: Mapping[str, Option] | None = None,
    /,
    **fields: Field,
) -> Any:
    """Parse the options of a command.

    Args:
        command: its name.
        arguments: what follows it.
        about: says what the command does; None is its summary.
        overrides: options of runs that may be given too; each takes a value, those of truth values True or False.
        **fields: the command's own options. A settings dataclass stands for one option per field; the field's
            docstring is the help.

    Returns:
        An object with an attribute per field, and `overrides`, the values of those that were given, by name.

    Raises:
        UsageError: an option is unknown, or its value impossible.
    """
    overrides = {name: option for name, option in (overrides or {}).items() if not _clash(option, fields)}
    there = [own(name, *field) for name, field in fields.items()]
    several = [name for name, kind in leaves(there) if _adds_up(name, kind)]
    several += [name for name, option in overrides.items() if _adds_up(name, option.kind)]
    result = _parsed(command, _gathered(arguments, several), about, [*there, *map(_override, overrides.values())])
    with usage_errors():
        values = {name: original(name, kind, getattr(result, name)) for name, (kind, _, _) in fields.items()}
        values["overrides"] = _requested(result, overrides)
    return SimpleNamespace(**values)


def parse_run(command: str, arguments: list[str], **fields: Field) -> Any:
    """Parse the options of a run and its agent, whose defaults depend on agent, environment and preset.

    Args:
        command: its name.
        arguments: what follows it.
        **fields: the command's own options.

    Returns:
        An object with an attribute per field, and `run`, `agent` (the settings), `preset` (its name or None) and
        `request` (what was asked for, as `resolve` takes it).

    Raises:
        UsageError: an option is unknown, or its value impossible; or values do not go together.
    """
    asked = [argument for argument in arguments if argument not in _HELP]
    with usage_errors():
        named = import_agent(asked)
        known = {**all_options(), **({} if named is None else options(named))}
        known = {name: option for name, option in known.items() if not _clash(option, {"preset": _PRESET, **fields})}
    several = [name for name, (kind, _, _) in fields.items() if _adds_up(name, kind)]
    words = _gathered(asked, [*several, *(name for name, option in known.items() if _adds_up(name, option.kind))])
    fields = {"preset": _PRESET, **fields}
    there = [own(name, *field) for name, field in fields.items()]
    result = _parsed(command, words, None, [*there, *(one for option in known.values() for one in _anonymous(option))])
    with usage_errors():
        values = {name: original(name, kind, getattr(result, name)) for name, (kind, _, _) in fields.items()}
        request = {"preset": result.preset, **_requested(result, known)}
        settings = resolve({"threads": 1, **request} if command == "tune" else request)  # as the runs of a sweep have
        for option in options(settings.run.agent).values():
            if taken := _clash(option, fields):
                raise UsageError(
                    f"{option.name} is a setting of {option.settings.__name__}, and {taken} an option of rewirl "
                    f"{command}; rename the first"
                )
    if len(asked) < len(arguments):
        _parsed(command, ["--help"], None, [*there, *_groups(settings)])
    return SimpleNamespace(**values, run=settings.run, agent=settings.agent, request=request)


def _clash(option: Option, fields: Iterable[str]) -> str:
    """Return the command's own option that an option of a run cannot be beside, its name or --no-NAME; "" if none."""
    names = [option.name, *([f"no_{option.name}"] if option.kind is bool else [])]
    return next((name for name in names if name in ("help", *fields)), "")


def _gathered(arguments: list[str], names: Iterable[str]) -> list[str]:
    """Return arguments with what is given for a list in several places, --wrapper A --wrapper B, in one."""
    for flag in (f"--{dashed(name)}" for name in names):
        gathered: list[str] = []
        rest: list[str] = []
        inside = False
        for argument in arguments:
            if argument.startswith("-") and not re.match(r"-\.?\d", argument):
                name, equals, value = argument.partition("=")
                inside = dashed(name) == flag
                if inside:
                    gathered += [value] if equals else []
                    continue
            (gathered if inside else rest).append(argument)
        if gathered:
            arguments = [*rest, flag, *gathered]
    return arguments


def _adds_up(name: str, kind: Any) -> bool:
    """Tell whether lists given in several places are one. Numbers that make one value, as hidden sizes, are not."""
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    one = all_options().get(name)
    return typing.get_origin(kind) is tuple and (kind == tuple[str, ...] or one is None or not one.takes_a_list)


def _parsed(command: str, arguments: list[str], about: str | None, fields: list[Any]) -> Any:
    _refuse_missing(command, arguments, fields)
    kind: Any = dataclasses.make_dataclass("Options", fields)
    with text_only():
        result, unknown = tyro.cli(
            kind,
            prog=f"rewirl {command}",
            description=about or COMMANDS[command].summary,
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            return_unknown_args=True,
        )
    if unknown:
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise UsageError(f"{command} does not know what to do with {name!r}; see rewirl {command} --help")
        there = [f"--{field[0].replace('_', '-')}" for field in leaves(fields) if not by_its_place(field)]
        hint = (elsewhere.hint(name, there) if command in _OF_RUNS else "") or did_you_mean(
            name.replace("_", "-"), there, f"{program()} {command} --help"
        )
        raise UsageError(f"{command} has no option {name}; {hint}")
    return result


def _refuse_missing(command: str, arguments: list[str], fields: list[Any]) -> None:
    """Refuse an option without its value, empty text for a path, and a command without all that it needs.

    Raises:
        UsageError: something is missing; says what.
    """
    if not arguments:
        for name, *kind in (field for field in fields if len(field) == 2 and _takes_a_value(field[1])):
            about = next(mark.help for mark in kind[0].__metadata__ if hasattr(mark, "help"))
            raise UsageError(f"{command} needs {name.upper()}: {about[0].lower()}{about[1:]}")
    options = {f"--{dashed(field[0])}" for field in fields if not by_its_place(field)}
    placed = any(by_its_place(field) and _is_a_path(field[1]) for field in fields)
    for argument, following in pairwise([*arguments, ""]):
        name, _, value = argument.partition("=")
        if (placed or command == "inspect") and name.replace("_", "-") in _OF_A_RUN - options:
            place = quoted_path(value or following) if value or following[:1] not in ("", "-") else "DIRECTORY"
            run = f"a run is given by its place: {program()} {command} {place}"
            raise UsageError(f"{command} has no option {name}; {run}")
    valued = {f"--{dashed(name)}" for name, kind in leaves(fields) if _takes_a_value(kind)}
    valued |= {f"--{dashed(name)}" for name, kind, *_ in fields if _is_own_list(kind)}
    for argument, following in pairwise([*arguments, "--"]):
        if argument.replace("_", "-") in valued and following.startswith("--"):
            raise UsageError(f"{argument} needs a value; see {program()} {command} --help")
    paths = {f"--{dashed(name)}" for name, kind in leaves(fields) if _is_a_path(kind)}
    for before, argument in pairwise(["", *arguments]):
        if argument and not (argument.startswith("--") and argument.endswith("=")):
            continue
        option = argument.removesuffix("=") or before
        named = option.startswith("--")
        if option.replace("_", "-") in paths if named else placed:
            whose = option if named else command
            raise UsageError(f"{whose} got empty text for a path; give one, or '.' for the working directory")


def _takes_a_value(kind: Any) -> bool:
    """Tell whether an option of this type is followed by a word, always."""
    if typing.get_origin(kind) is Annotated:
        nargs = [mark.nargs for mark in kind.__metadata__ if hasattr(mark, "nargs")]
        return nargs[0] == 1 if nargs else _takes_a_value(typing.get_args(kind)[0])
    return kind is not bool and typing.get_origin(kind) is not tuple


def _is_own_list(kind: Any) -> bool:
    """Tell whether an option of a command takes a list that is not given empty; a list of a run's options may be."""
    members = typing.get_args(kind) if typing.get_origin(kind) is Annotated else (kind,)
    return typing.get_origin(members[0]) is tuple


def _is_a_path(kind: Any) -> bool:
    """Tell whether an option of this type is one path or several."""
    members = [kind, *typing.get_args(kind)]
    return Path in members or any(Path in typing.get_args(member) for member in members)


def _requested(result: Any, known: Mapping[str, Option]) -> dict[str, Any]:
    """Return the values of the options that were given, by name.

    Raises:
        ValueError: a value is impossible; names the option.
    """
    values: dict[str, Any] = {}
    for name, option in known.items():
        words = getattr(result, name)
        if isinstance(words, Words):
            values[name] = option.read(list(words))
        elif words is True:
            values[name] = True
        if getattr(result, f"no_{name}", False):
            if name in values:
                raise ValueError(f"--{dashed(name)} and --no-{dashed(name)} contradict each other; leave one out")
            values[name] = False
    return values


# --- Options of a run -----------------------------------------------------


def _anonymous(option: Option) -> Iterable[tuple[str, Any, Any]]:
    """Yield the fields of an option whose default is not known yet: one, or a pair of flags for a truth value."""
    if option.kind is bool:
        yield option.name, bool, dataclasses.field(default=False)
        yield f"no_{option.name}", bool, dataclasses.field(default=False)
    else:
        yield option.name, _words(option, ""), dataclasses.field(default=None)


def _override(option: Option) -> tuple[str, Any, Any]:
    """Return the field of an option that is for every run of a sweep."""
    text = f"{option.help} In a sweep: for every run; not given is as the experiment says, or else "
    text += "one." if option.name == "threads" else "the default of rewirl train."
    return option.name, _words(option, text), dataclasses.field(default=None)


def _groups(settings: Settings) -> Iterable[tuple[str, Any, Any]]:
    """Yield a group of fields for the options of each part of the settings, with their values as defaults."""
    known = options(settings.run.agent)
    parts = {"run": settings.run, "agent": settings.agent, "topology": settings.agent.topology}
    for part, values in parts.items():
        fields = [
            (name, bool, dataclasses.field(default=getattr(values, name)))
            if option.kind is bool
            else (name, _words(option, option.help), dataclasses.field(default=getattr(values, name)))
            for name, option in known.items()
            if option.part == part
        ]
        fields = [
            (name, Annotated[kind, tyro.conf.arg(help=known[name].help)], default) for name, kind, default in fields
        ]
        group: Any = dataclasses.make_dataclass(part, [(n, k, _mutable(d)) for n, k, d in fields])
        said = (type(values).__doc__ or "").partition("\n")[0]
        group.__doc__ = "" if said.startswith(f"{type(values).__name__}(") else said  # that is dataclass's own
        yield part, group, dataclasses.field(default_factory=group)


def _mutable(field: Any) -> Any:
    """Return a field whose default may be a dictionary."""
    return dataclasses.field(default_factory=lambda: field.default)


def _words(option: Option, text: str) -> Any:
    """Return a type for tyro that takes the words of an option and leaves them to be read by the option itself."""
    return Annotated[Any, spec(option.kind, option.takes_a_list), tyro.conf.arg(help=text or None)]
