"""TOML files, which may come from a stranger: read within bounds, and written."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST_FILE = 2**20
"""Bytes of a file."""
LONGEST_KEY = 32
"""Parts of a key with dots: the parser takes time and memory that grow with their square."""

_LONG_KEY = re.compile(rb"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){%d}" % LONGEST_KEY)
_QUOTED_PART, _MOST_QUOTED_PARTS = re.compile(rb"""["'][ \t]*+\.|\.[ \t]*+["']"""), 200


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return the content of a file.

    Args:
        path: the file.
        what: what it is called in an error, such as "a sweep file".

    Raises:
        ValueError: it cannot be read, is too large, nested too deeply or no TOML; names the file.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) <= LARGEST_FILE and not _has_long_keys(text):
            return tomllib.loads(text.decode())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply") from error
    if len(text) > LARGEST_FILE:
        raise ValueError(f"{path} has more than the {LARGEST_FILE:,} bytes allowed for {what}")
    raise ValueError(f"{path} has a key of more than {LONGEST_KEY} parts with dots between them")


def toml(values: Mapping[str, Any]) -> str:
    """Return values as lines of TOML, one for each key.

    Args:
        values: truth values, numbers, text, and lists and tables of these.

    Raises:
        ValueError: TOML has no word for a value; names its key.
    """
    return "".join(f"{_key(name)} = {_value(value, name)}\n" for name, value in values.items())


def _has_long_keys(text: bytes) -> bool:
    return bool(_LONG_KEY.search(text)) or len(_QUOTED_PART.findall(text)) > _MOST_QUOTED_PARTS


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item, where) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {_value(item, where)}' for name, item in value.items())} }}"
    raise ValueError(f"{where} is {value!r}, for which a TOML file has no word")


def _text(value: str) -> str:
    """Return text in quotes: JSON's escapes are TOML's too, but for characters beyond 16 bits and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
