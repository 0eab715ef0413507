"""A command's own options as fields that tyro fills in: numbers stay words, so that we say what is wrong with them."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from rewirl.exact import alternatives
from rewirl.storage.values import from_text

Field = tuple[Any, Any, str]
"""Type, default and help of an option. Without a default (dataclasses.MISSING) it is given by its place."""
OPTIONAL_NAME: Any = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")]
"""A name given by its place, or left out."""


class Words(tuple[str, ...]):
    """What was typed for an option."""


def spec(kind: Any, takes_a_list: bool) -> Any:
    """Return what makes tyro take the words of a value and leave them as they are.

    Args:
        kind: type of the value, which its help shows.
        takes_a_list: whether any number of words follows, rather than one.
    """
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*" if takes_a_list else 1,
        metavar=_metavar(kind),
        instance_from_str=Words,
        is_instance=lambda _: True,
        str_from_instance=_as_words,
    )


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


def own(name: str, kind: Any, default: Any, text: str) -> tuple[str, Any] | tuple[str, Any, Any]:
    """Return the field of an option: name and type, and the default unless it is given by its place."""
    positional: Any = tyro.conf.Positional
    described: Any = Annotated[_mirror(kind), tyro.conf.arg(help=text or None)]
    if default is dataclasses.MISSING:
        return name, positional[described]
    return name, described, dataclasses.field(default_factory=functools.partial(_mirrored, default))


@functools.cache
def _mirror(kind: Any) -> Any:
    """Return a dataclass of the same fields for tyro to fill in; of numbers their words, any other type as it is.

    It checks nothing, so that an impossible setting is reported by us, the same way everywhere. Line breaks of field
    docstrings are taken out, because tyro would keep some of them.
    """
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return Annotated[kind, spec(kind, _is_list(kind))] if _of_numbers(kind) else kind
    import docstring_parser

    hints = get_type_hints(kind)
    texts = {entry.arg_name: entry.description or "" for entry in docstring_parser.parse_from_object(kind).params}
    mirror = dataclasses.make_dataclass(
        kind.__name__,
        [
            (field.name, Annotated[_mirror(hints[field.name]), tyro.conf.arg(help=" ".join(text.split()) or None)])
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


def original(name: str, kind: Any, filled_in: Any) -> Any:
    """Return the value of an option of this type that tyro has filled in.

    Raises:
        ValueError: its words are no such number; names the option.
    """
    if isinstance(filled_in, Words):
        return from_text(kind, list(filled_in), name)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return filled_in
    hints = get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    return kind(**{field: original(field, hints[field], getattr(filled_in, field)) for field in fields})


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _of_numbers(kind: Any) -> bool:
    """Tell whether a value of this type is a number, or several."""
    members = typing.get_args(kind) if _is_list(kind) else alternatives(kind)
    return int in members or float in members


def leaves(fields: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    """Yield name and type of the fields of which each is an option: those of a settings dataclass in its place."""
    for name, annotated, *_ in fields:
        kind = typing.get_args(annotated)[0] if typing.get_origin(annotated) is Annotated else annotated
        if dataclasses.is_dataclass(kind):
            yield from ((inner.name, inner.type) for inner in dataclasses.fields(kind))
        else:
            yield name, annotated


def by_its_place(field: Any) -> bool:
    """Tell whether an argument has no name on the command line."""
    positional: Any = tyro.conf.Positional
    marks = positional[Any].__metadata__
    return any(mark in marks for mark in getattr(field[1], "__metadata__", ()))


def dashed(name: str) -> str:
    """Return the name of an option as it is typed, without the hyphens before it."""
    return name.replace("_", "-")
