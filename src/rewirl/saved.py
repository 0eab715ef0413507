"""Checks of values from files, or from a user's program on their way into one; an error names what does not fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LIMIT = 2**53
"""Counts are below it. Integers up to it are exact as float64 too."""


def count(value: Any, name: str) -> int:
    """Return a saved count.

    Args:
        value: as the file has it.
        name: of the value, for the error.

    Raises:
        ValueError: it is not an integer in [0, LIMIT).
    """
    if type(value) is not int or not 0 <= value < LIMIT:
        raise ValueError(f"{name} is {shown(value)}, which is not a number of things")
    return value


def number(value: Any, name: str) -> float:
    """Return a saved finite number; arguments as for `count`.

    Raises:
        ValueError: it is not a finite number.
    """
    if type(value) in (int, float):
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if math.isfinite(result):
            return result
    raise ValueError(f"{name} is {shown(value)}, which is not a finite number")


def numbers(value: Any, name: str) -> dict[str, float]:
    """Return saved finite numbers by their names; arguments as for `count`.

    Raises:
        ValueError: it is not an object, or one of them is not a finite number.
    """
    return {key: number(each, f"the saved {key[:100]}") for key, each in fields(value, name).items()}


def saved_array(
    arrays: Mapping[str, NDArray[Any]],
    key: str,
    dtype: DTypeLike,
    shape: Sequence[int | None],
    name: str | None = None,
    finite: bool = True,
) -> NDArray[Any]:
    """Return a saved array.

    Args:
        arrays: as the file has them.
        key: of the array among them.
        dtype: what it must be of.
        shape: its lengths; None is any.
        name: of the array, for the error; None says its key.
        finite: whether its numbers must be.

    Raises:
        ValueError: it is missing, of another type or shape, or has a number that is not finite.
    """
    name, found = name or f"the array {key}", arrays.get(key)
    if found is None:
        raise ValueError(f"{name} is missing")
    fits = found.ndim == len(shape) and all(want in (None, has) for want, has in zip(shape, found.shape, strict=True))
    if found.dtype != dtype or not fits:
        lengths = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} is {found.dtype} {list(found.shape)}, expected {np.dtype(dtype)} [{lengths}]")
    if finite and found.dtype.kind == "f" and not np.isfinite(found).all():
        raise ValueError(f"{name} has numbers that are not finite")
    return found


def in_parts(arrays: Mapping[str, NDArray[Any]], names: Sequence[str], what: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Return saved arrays called part/name by their parts, each of which is there.

    Args:
        arrays: as the file has them.
        names: of the parts.
        what: they are of, for the error.

    Raises:
        ValueError: an array is of another part.
    """
    parts: dict[str, dict[str, NDArray[Any]]] = {name: {} for name in names}
    for key, array in arrays.items():
        name, _, rest = key.partition("/")
        if name not in parts:
            raise ValueError(f"this is not {what}: unknown array {key[:100]!r}")
        parts[name][rest] = array
    return parts


def lines(value: Any, name: str) -> list[str]:
    """Return saved lines of text, each without its line end; arguments as for `count`.

    Raises:
        ValueError: it is not a list of lines.
    """
    if not isinstance(value, list) or not all(isinstance(line, str) and "\n" not in line for line in value):
        raise ValueError(f"{name} is {shown(value)}, which is not a list of lines")
    return value


def truth(value: Any, name: str) -> bool:
    """Return a saved truth value; arguments as for `count`.

    Raises:
        ValueError: it is neither true nor false.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {shown(value)}")
    return value


def listed(value: Any, name: str) -> list[Any]:
    """Return a saved list; arguments as for `count`.

    Raises:
        ValueError: it is not a list.
    """
    if not isinstance(value, list):
        raise ValueError(f"{name} is {shown(value)}, which is not a list")
    return value


def fields(value: Any, name: str) -> dict[str, Any]:
    """Return a saved JSON object; arguments as for `count`.

    Raises:
        ValueError: it is not an object.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {shown(value)}, which is not an object")
    return value


def shown(value: Any) -> str:
    """Return a value for a message, cut after 200 characters: values from files may be long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "one with too many digits to be shown"
    return text if len(text) <= 200 else f"{text[:200]}..."


def through_json(value: Any) -> Any:
    """Return a value as it comes back from a JSON file: what a program keeps is to be the same then.

    Raises:
        TypeError: JSON has no such value; or a key is no text, of which JSON would make text.
        ValueError: a number is not finite, or a list has itself in it.
    """
    text = json.dumps(value, allow_nan=False)
    _refuse_other_keys(value)
    return json.loads(text)


def _refuse_other_keys(value: Any) -> None:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no text")
        value = list(value.values())
    for each in value if isinstance(value, list | tuple) else ():
        if isinstance(each, dict | list | tuple):  # no call for each number, as there may be many
            _refuse_other_keys(each)
