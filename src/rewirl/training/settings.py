"""Settings as JSON values and back: frozen dataclasses of numbers, words, tuples and other such dataclasses."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def to_values(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as JSON values; tuples become lists."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def from_values(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a settings dataclass from JSON values; what it checks at construction is checked again.

    Args:
        kind: the dataclass.
        values: by field name; fields that are left out have their defaults.

    Raises:
        ValueError: a field is unknown or its value is impossible.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"the settings of {kind.__name__} must be an object, got {values!r}")
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{kind.__name__} has no setting {', '.join(map(repr, unknown))}")
    return kind(**{name: _as(name, hints[name], value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_values(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _as(name: str, hint: Any, value: Any) -> Any:
    """Return a value as the field of this type has it.

    Raises:
        ValueError: it is not of the type; names the field.
    """
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    for option in typing.get_args(hint) if union else (hint,):
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return from_values(typing.cast(type[Any], option), value)
        if typing.get_origin(option) is tuple and isinstance(value, (list, tuple)):
            if all(_is(typing.get_args(option)[0], item) for item in value):
                return tuple(value)
        elif _is(option, value):
            return float(value) if option is float else value
    raise ValueError(f"{name} cannot be {value!r}")


def _is(kind: Any, value: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if kind is float:  # a whole number is one too, if it is not too large
        return type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)
    return kind is Any or type(value) is (origin or kind)
