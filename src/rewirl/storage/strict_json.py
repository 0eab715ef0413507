"""JSON as the standard has it: no NaN, no infinities, no duplicate keys, nothing lost on the way to disk and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

import numpy as np

LARGEST_FILE = 64 * 2**20
"""Bytes; a JSON file larger than this is refused before it is read."""

_DEEPEST = 64


def plain(value: Any, where: str, non_finite: Literal["refuse", "null"] = "refuse") -> Any:
    """Return a value as None, bool, int, float, str, and lists and dicts of these.

    Args:
        value: such a value; tuples become lists and NumPy scalars Python's numbers.
        where: what the value is called in an error.
        non_finite: what happens to a NaN or an infinity: an error, or None in its place.

    Raises:
        ValueError: something in it is not JSON; names where.
    """
    return _plain(value, where, non_finite, 0)


def encode(value: Any, where: str, largest: int = LARGEST_FILE) -> bytes:
    """Return the UTF-8 text of a JSON value for a file that people read: indented, keys in the order given.

    Args:
        value: the value.
        where: what it is called in an error.
        largest: bytes that the text may have.

    Raises:
        ValueError: something in it is not JSON, or the text is too large.
    """
    data = json.dumps(plain(value, where), indent=1, allow_nan=False).encode() + b"\n"
    if len(data) > largest:
        raise ValueError(f"{where} takes {len(data)} bytes as JSON, more than {largest}; save it as an array")
    return data


def canonical(value: Any, where: str) -> bytes:
    """Return the one text that equal JSON values share: keys sorted, no spaces."""
    return json.dumps(plain(value, where), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decode(data: bytes) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: it is not strict JSON; says why.
    """
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _plain(value: Any, where: str, non_finite: str, depth: int) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if non_finite == "null":
            return None
        raise ValueError(f"{where} is {value}, which JSON cannot hold")
    if depth == _DEEPEST:
        raise ValueError(f"{where} is nested deeper than {_DEEPEST} levels")
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]", non_finite, depth + 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}; keys must be strings")
        return {key: _plain(item, f"{where}.{key}", non_finite, depth + 1) for key, item in value.items()}
    raise ValueError(f"{where} is a {type(value).__name__}, which JSON cannot hold")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999 is valid JSON, and would come back as an infinity
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:100]!r} occurs twice")
            seen.add(key)
    return unique


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_unique_keys
)  # made once: a log may have a million lines
