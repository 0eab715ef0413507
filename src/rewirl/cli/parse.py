"""From what was typed to options: tyro finds the words of each option, `rewirl.options` says what they mean."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import typing
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from rewirl.cli import elsewhere
from rewirl.cli.commands import COMMANDS
from rewirl.cli.errors import UsageError, usage_errors
from rewirl.cli.own_agents import import_agent
from rewirl.exact import alternatives
from rewirl.hints import did_you_mean
from rewirl.options.option import Option, all_options, options
from rewirl.options.resolve import Settings, resolve
from rewirl.printing import program, text_only
from rewirl.storage.values import from_text

Field = tuple[Any, Any, str]
"""Type, default and help of an option. Without a default (dataclasses.MISSING) it is given by its place."""

_PRESET: Field = (
    str | None,
    None,
    "Settings of agent, environment and topology by name, such as ds-drl/ds-td3/HalfCheetah-v5 for a paper's (see "
    "rewirl presets), or a TOML file, such as rewirl tune writes. None has the defaults of the agent: sparse TD3 and "
    "SAC have the paper's connections in its five environments.",
)
OPTIONAL_NAME: Any = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")]
"""A name given by its place, or left out."""

_HELP = ("-h", "--help")
_OF_RUNS = ("train", "tune", "inspect", "sweep")
"""Commands with the options of a run, of which other programs have names of their own."""


class _Words(tuple[str, ...]):
    """What was typed for an option."""


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
    own = [_own(name, *field) for name, field in fields.items()]
    several = [name for name, kind in _leaves(own) if _adds_up(name, kind)]
    several += [name for name, option in (overrides or {}).items() if _adds_up(name, option.kind)]
    result = _parsed(command, _gathered(arguments, several), about, [*own, *map(_override, (overrides or {}).values())])
    with usage_errors():
        values = {name: _original(kind, getattr(result, name)) for name, (kind, _, _) in fields.items()}
        values["overrides"] = _requested(result, overrides or {})
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
    several = [name for name, (kind, _, _) in fields.items() if _adds_up(name, kind)]
    words = _gathered(asked, [*several, *(name for name, option in known.items() if _adds_up(name, option.kind))])
    own = [_own(name, *field) for name, field in {"preset": _PRESET, **fields}.items()]
    result = _parsed(command, words, None, [*own, *(one for option in known.values() for one in _anonymous(option))])
    with usage_errors():
        request = {"preset": result.preset, **_requested(result, known)}
        settings = resolve({"threads": 1, **request} if command == "tune" else request)  # as the runs of a sweep have
    if len(asked) < len(arguments):
        _parsed(command, ["--help"], None, [*own, *_groups(settings)])
    own_values = {name: getattr(result, name) for name in ("preset", *fields)}
    return SimpleNamespace(**own_values, run=settings.run, agent=settings.agent, request=request)


def _gathered(arguments: list[str], names: Iterable[str]) -> list[str]:
    """Return arguments with what is given for a list in several places, --wrapper A --wrapper B, in one."""
    for flag in (f"--{_dashed(name)}" for name in names):
        gathered: list[str] = []
        rest: list[str] = []
        inside = False
        for argument in arguments:
            if argument.startswith("-") and not re.match(r"-\.?\d", argument):
                name, equals, value = argument.partition("=")
                inside = _dashed(name) == flag
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
            registry=_registry(),
            return_unknown_args=True,
        )
    if unknown:
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise UsageError(f"{command} does not know what to do with {name!r}; see rewirl {command} --help")
        there = [f"--{field[0].replace('_', '-')}" for field in _leaves(fields) if not _by_its_place(field)]
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
    valued = {f"--{_dashed(name)}" for name, kind in _leaves(fields) if _takes_a_value(kind)}
    valued |= {f"--{_dashed(name)}" for name, kind, *_ in fields if _is_own_list(kind)}
    for argument, following in pairwise([*arguments, "--"]):
        if argument.replace("_", "-") in valued and following.startswith("--"):
            raise UsageError(f"{argument} needs a value; see {program()} {command} --help")
    paths = {f"--{_dashed(name)}" for name, kind in _leaves(fields) if _is_a_path(kind)}
    placed = any(_by_its_place(field) and _is_a_path(field[1]) for field in fields)
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
    return typing.get_origin(members[0]) is tuple and not any(hasattr(mark, "nargs") for mark in members[1:])


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
        if isinstance(words, _Words):
            values[name] = option.read(list(words))
        elif words is True:
            values[name] = True
        if getattr(result, f"no_{name}", False):
            if name in values:
                raise ValueError(f"--{_dashed(name)} and --no-{_dashed(name)} contradict each other; leave one out")
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
    spec: Any = tyro.constructors.PrimitiveConstructorSpec(
        nargs="*" if option.takes_a_list else 1,
        metavar=_metavar(option.kind),
        instance_from_str=_Words,
        is_instance=lambda _: True,
        str_from_instance=_as_words,
    )
    return Annotated[Any, spec, tyro.conf.arg(help=text or None)]


def _as_words(value: Any) -> list[str]:
    """Return how a default would be typed."""
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return [json.dumps(value) if isinstance(value, dict) else str(value)]


def _metavar(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if len(alternatives(kind)) > 1:
        members = sorted(alternatives(kind), key=lambda member: member is not type(None))
        return "|".join(map(_metavar, members))
    if origin is tuple:
        return f"[{_metavar(typing.get_args(kind)[0])} ...]"
    if origin is Literal:
        return "{" + ",".join(typing.get_args(kind)) + "}"
    if origin is dict:
        return "JSON"
    return {type(None): "{None}", bool: "{True,False}"}.get(kind) or kind.__name__.upper()


# --- A command's own options ------------------------------------------------


def _own(name: str, kind: Any, default: Any, text: str) -> tuple[str, Any] | tuple[str, Any, Any]:
    positional: Any = tyro.conf.Positional
    described: Any = Annotated[_mirror(kind), tyro.conf.arg(help=text or None)]
    if default is dataclasses.MISSING:
        return name, positional[described]
    return name, described, dataclasses.field(default_factory=functools.partial(_mirrored, default))


@functools.cache
def _mirror(kind: Any) -> Any:
    """Return a dataclass of the same fields for tyro to fill in; any other type is returned as it is.

    It checks nothing, so that an impossible setting is reported by us, the same way everywhere. Line breaks of field
    docstrings are taken out, because tyro would keep some of them.
    """
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return kind
    import docstring_parser

    hints = get_type_hints(kind)
    texts = {entry.arg_name: entry.description or "" for entry in docstring_parser.parse_from_object(kind).params}
    mirror = dataclasses.make_dataclass(
        kind.__name__,
        [
            (field.name, Annotated[hints[field.name], tyro.conf.arg(help=" ".join(text.split()) or None)])
            for field in dataclasses.fields(kind)
            for text in [texts.get(field.name, "")]
        ],
    )
    mirror.__doc__ = (kind.__doc__ or "").partition("\n")[0]
    return mirror


def _mirrored(settings: Any) -> Any:
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        return settings
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return _mirror(type(settings))(**values)


def _original(kind: Any, mirrored: Any) -> Any:
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return mirrored
    return kind(**{field.name: getattr(mirrored, field.name) for field in dataclasses.fields(kind)})


def _leaves(fields: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    """Yield name and type of the fields of which each is an option: those of a settings dataclass in its place."""
    for name, annotated, *_ in fields:
        kind = typing.get_args(annotated)[0] if typing.get_origin(annotated) is Annotated else annotated
        if dataclasses.is_dataclass(kind):
            yield from ((inner.name, inner.type) for inner in dataclasses.fields(kind))
        else:
            yield name, annotated


def _by_its_place(field: Any) -> bool:
    """Tell whether an argument has no name on the command line."""
    positional: Any = tyro.conf.Positional
    marks = positional[Any].__metadata__
    return any(mark in marks for mark in getattr(field[1], "__metadata__", ()))


def _registry() -> Any:
    """Return tyro's registry in which whole numbers are read as those of a run's options are, 1e6 among them."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type is not int:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT",
            instance_from_str=lambda words: from_text(int, words, "it"),
            is_instance=lambda value: isinstance(value, int),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _dashed(name: str) -> str:
    return name.replace("_", "-")
