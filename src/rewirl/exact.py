"""The one door for settings: a value becomes its type exactly, or is refused by its name.

The command line, Python, sweep files and the records of runs all bring their values here, and every settings dataclass
does when it is made.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from rewirl.printing import option
from rewirl.saved import LIMIT, shown

T = TypeVar("T")

_LARGEST = 2**128
"""No integer reaches it; a seed may come near."""

_DEEPEST = 64
"""No object in a record is nested deeper."""

_LISTS: dict[str, list[Any]] = {
    "seeds": [0, 1, 2],
    "threads": [1, 2],
    "sample": ["gamma", "learning_rate=0.0001:0.001"],
    "agents": ["td3", "ds-td3"],
    "envs": ["Pendulum-v1"],
    "freeze_after": [250_000, 500_000],
    "lambdas": [7, 64],
}
"""How lists of other things than most are written, by the name of the option, for messages."""

_REFUSED = object()


def from_values(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a settings dataclass from JSON values; what it checks at construction is checked again.

    Args:
        kind: the dataclass.
        values: by field name; fields that are left out have their defaults.

    Raises:
        ValueError: a field is unknown or its value is impossible.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"the settings of {kind.__name__} must be an object, got {shown(values)}")
    hints = type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(map(repr, set(values) - known))
    if unknown:
        raise ValueError(f"{kind.__name__} has no setting {', '.join(unknown)}")
    return kind(**{name: exactly(hints[name], value, name) for name, value in values.items()})


def exactly(kind: Any, value: Any, name: str, *, words: bool = False) -> Any:
    """Return a value as its type has it, the same to the bit.

    A number stands for another type of number only if that has its value: 5e1 for the integer 50, 1 for the float 1.0,
    np.float32(0.1) for the float 0.10000000149011612. Lists stand for tuples. Nothing stands for a truth value but one,
    and text stands for no number.

    Args:
        kind: bool, int, float, str, a Literal, tuple[X, ...], dict, a settings dataclass, or a union of these and None.
        value: any object.
        name: what the value is called in an error.
        words: whether a list was typed word by word, which is how an error then shows one.

    Raises:
        ValueError: the value is none of the type's; says what is.
    """
    for alternative in alternatives(kind):
        result = _exactly(alternative, value)
        if result is not _REFUSED:
            return result
    what = f"{_described(kind)}{_limits(alternatives(kind), value)}"
    raise ValueError(f"{name} must be {what}, got {shown(value)}{_example(kind, name, words)}")


def make_exact(settings: Any, part: type[Any] | None = None) -> None:
    """Replace every value of a frozen settings dataclass by that of its type, as `exactly` does.

    Args:
        settings: the dataclass.
        part: one of its parents, whose fields alone are to be replaced; None is all of them.

    Raises:
        ValueError: a value is none of its field's type; names the field.
    """
    kind = type(settings) if part is None else part
    hints = type_hints(kind)
    for field in dataclasses.fields(kind):
        value = exactly(hints[field.name], getattr(settings, field.name), field.name)
        object.__setattr__(settings, field.name, value)


def a_path(value: Any, name: str) -> Path:
    """Return a path that a program gives; arguments as for `exactly`.

    Raises:
        ValueError: it is neither text nor a path, is empty, or is relative to a working directory that is not there.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise ValueError(f"{name} must be a path, such as 'runs/x', got {shown(value)}")
    if not os.fspath(value):
        raise ValueError(f"{name} is empty text; give a path, such as 'runs/x', or '.' for the working directory")
    path = Path(value)
    try:
        path.absolute()
    except OSError as error:
        raise ValueError(
            f"{name} is {shown(str(path))}, and the working directory is gone or closed to you; change to another one, "
            "or give an absolute path"
        ) from error
    return path


def alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself as its only one."""
    return typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)


def type_hints(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of a settings dataclass, by name.

    Raises:
        ValueError: there are no settings of one of them; names the field, and says which types there are.
    """
    return _evaluated_hints(kind)


@functools.cache
def _evaluated_hints(kind: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ValueError(f"the types of the settings of {kind.__name__} cannot be found: {error}") from error
    for field in dataclasses.fields(kind):
        if not all(map(_is_known, alternatives(hint := hints[field.name]))):
            said = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
            raise ValueError(
                f"the setting {field.name} of {kind.__name__} has the type {said.replace('typing.', '')}, which none "
                "may have: there are bool, int, float, str, Literal of texts, tuple[X, ...] of these, dict[str, Any], "
                "and X | None"
            )
    return hints


def _is_known(kind: Any, whole: bool = True) -> bool:
    """Tell whether there are settings of a type that is no union; or, not as a whole, items of a setting."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return all(isinstance(each, str) for each in arguments)
    if kind in (bool, int, float, str):
        return True
    if origin is tuple:  # tuple[int, int] would take any number of them
        return arguments[1:] == (...,) and _is_known(arguments[0], whole=False)
    if origin is dict:
        return whole and arguments[:1] == (str,)
    return whole and (kind is type(None) or dataclasses.is_dataclass(kind))


def _exactly(kind: Any, value: Any) -> Any:
    """Return the value as this type has it, or _REFUSED."""
    value = _python(value)
    origin = typing.get_origin(kind)
    if kind is type(None):
        return None if value is None else _REFUSED
    if origin is Literal:
        return str(value) if isinstance(value, str) and value in typing.get_args(kind) else _REFUSED
    if origin is tuple:
        return _items(typing.get_args(kind)[0], value)
    if origin is dict:
        return _without_numpy(value, 0) if isinstance(value, Mapping) else _REFUSED
    if dataclasses.is_dataclass(kind):
        if isinstance(value, typing.cast(type[Any], kind)):
            return value
        return from_values(typing.cast(type[Any], kind), value) if isinstance(value, Mapping) else _REFUSED
    if kind is bool:
        return value if isinstance(value, bool) else _REFUSED
    if kind is str:
        return str.__str__(value) if isinstance(value, str) else _REFUSED
    if kind not in (int, float) or isinstance(value, bool) or not isinstance(value, (int, float)):
        return _REFUSED
    return _integer(value) if kind is int else _float(value)


def _integer(value: int | float) -> Any:
    if isinstance(value, float) and not (value.is_integer() and abs(value) <= LIMIT):
        return _REFUSED
    return int(value) if abs(value) < _LARGEST else _REFUSED


def _float(value: int | float) -> Any:
    try:
        result = float(value)
    except OverflowError:  # an integer larger than any float
        return _REFUSED
    return result if result == value or math.isnan(result) else _REFUSED


def _items(kind: Any, value: Any) -> Any:
    if not isinstance(value, (list, tuple)) and not (isinstance(value, np.ndarray) and value.ndim == 1):
        return _REFUSED
    items = tuple(_exactly(kind, item) for item in value)
    return _REFUSED if any(item is _REFUSED for item in items) else items


def _python(value: Any) -> Any:
    """Return a NumPy scalar as Python's own of exactly that value, if there is one; anything else as it is."""
    if not isinstance(value, np.generic):
        return value
    if isinstance(value, np.longdouble):
        return float(value) if np.longdouble(float(value)) == value or np.isnan(value) else value
    return value.item()


def _without_numpy(value: Any, depth: int) -> Any:
    """Return an object whose NumPy scalars are Python's; one nested too deeply for a record is left as it is."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {key: _without_numpy(item, depth + 1) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_without_numpy(item, depth + 1) for item in value)
    return _python(value)


def _limits(kinds: tuple[Any, ...], value: Any) -> str:
    """Return which numbers are taken, for a message on one that is beyond them; "" for any other value."""
    if isinstance(value, int) and not isinstance(value, bool):
        of_integers = " between -2**128 and 2**128" if int in kinds else ""
        return of_integers or (" that float64 has exactly" if float in kinds else "")
    whole = isinstance(value, float) and value.is_integer()
    return " between -2**53 and 2**53, as a float is exact" if whole and int in kinds else ""


def _example(kind: Any, name: str, words: bool) -> str:
    """Return how a list is written, for a message; "" for any other type."""
    items = next((typing.get_args(each)[0] for each in alternatives(kind) if typing.get_origin(each) is tuple), None)
    if items is None:
        return ""
    examples: dict[Any, list[Any]] = {int: [256, 256], float: [0.5, 0.9]}
    values = _LISTS.get(name) or examples.get(items, ["package.module:Class"])
    return f"; for example: {option(name)} {' '.join(map(str, values))}" if words else f"; for example {values}"


def _described(kind: Any) -> str:
    """Return the values of a type in words; that an optional one may be None goes without saying."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_described(member) for member in alternatives(kind) if member is not type(None))
    if origin is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    if origin is tuple:
        return f"a list of which each is {_described(typing.get_args(kind)[0])}"
    if origin is dict or dataclasses.is_dataclass(kind):
        return "a table"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}.get(kind, str(kind))
