"""Settings as JSON values and back: frozen dataclasses of numbers, words, tuples and other such dataclasses."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from rewirl.saved import LIMIT, shown

T = TypeVar("T")

_LARGEST = 2**128
"""No integer reaches it; a seed may come near."""


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
    return kind(**{name: _as(hints[name], value, name) for name, value in values.items()})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_values(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _as(hint: Any, value: Any, name: str) -> Any:
    """Return a value as a field of this type has it.

    Raises:
        ValueError: it is of no such type.
    """
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    for option in options:
        origin = typing.get_origin(option)
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return from_values(typing.cast(type[Any], option), value)
        if origin is tuple and isinstance(value, (list, tuple)):
            (kind, *_) = typing.get_args(option)
            return tuple(_as(kind, item, f"{name}[{index}]") for index, item in enumerate(value))
        if option is float and type(value) is int and abs(value) < LIMIT:
            return float(value)
        if origin is Literal and isinstance(value, str) and value in typing.get_args(option):
            return value
        if origin is dict and isinstance(value, Mapping):
            return dict(value)
        if type(value) is option and (option is not int or abs(value) < _LARGEST):
            return value
    allowed = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise ValueError(f"{name} is {shown(value)}, which is not {allowed}")
