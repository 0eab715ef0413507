"""Values from files, which may be anything: refused by name unless they are what they should be."""

from __future__ import annotations

import math
from typing import Any

LIMIT = 2**53
"""No count reaches it: up to there integers are exact in every arithmetic."""


def count(value: Any, name: str) -> int:
    """Return a number of things that was saved.

    Args:
        value: as the file has it.
        name: what it is called in an error.

    Raises:
        ValueError: it is not an integer in [0, LIMIT).
    """
    if type(value) is not int or not 0 <= value < LIMIT:
        raise ValueError(f"{name} is {shown(value)}, which is not a number of things")
    return value


def number(value: Any, name: str) -> float:
    """Return a finite number that was saved; arguments as for `count`.

    Raises:
        ValueError: it is not a finite number.
    """
    if type(value) in (int, float):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise ValueError(f"{name} is {shown(value)}, which is not a finite number")


def lines(value: Any, name: str) -> list[str]:
    """Return lines of text that were saved, each without its end; arguments as for `count`.

    Raises:
        ValueError: it is not a list of lines.
    """
    if not isinstance(value, list) or not all(isinstance(line, str) and "\n" not in line for line in value):
        raise ValueError(f"{name} is {shown(value)}, which is not a list of lines")
    return value


def truth(value: Any, name: str) -> bool:
    """Return a truth value that was saved; arguments as for `count`.

    Raises:
        ValueError: it is neither true nor false.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {shown(value)}")
    return value


def fields(value: Any, name: str) -> dict[str, Any]:
    """Return a JSON object that was saved; arguments as for `count`.

    Raises:
        ValueError: it is not an object.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {shown(value)}, which is not an object")
    return value


def shown(value: Any) -> str:
    """Return a value as a message has it: files may hold values that nobody wants to read to their end."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
