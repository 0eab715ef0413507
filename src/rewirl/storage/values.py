"""Settings as JSON values, and words of the command line as values; what a value may be is `rewirl.exact`'s."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from rewirl.exact import alternatives, exactly
from rewirl.storage import strict_json


def to_values(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as JSON values; tuples become lists."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def from_text(kind: Any, words: Sequence[str], name: str) -> Any:
    """Return the value that words on the command line stand for.

    Args:
        kind: its type, as for `exactly`.
        words: a word for each number of a tuple; for any other type, one word. None is the word for None, or none where
            the type is no text.
        name: what the value is called in an error.

    Raises:
        ValueError: the words are none of the type's; says what is.
    """
    kinds = alternatives(kind)
    nothing = ["None"] if str in kinds else ["None", "none"]  # of text none may be a name
    if type(None) in kinds and len(words) == 1 and words[0] in nothing:
        return None
    origins = {typing.get_origin(alternative): alternative for alternative in kinds}
    if tuple in origins:
        (item, *_) = typing.get_args(origins[tuple])
        return exactly(kind, tuple(_from_word((item,), word) for word in words), name, words=True)
    (word,) = words
    if dict in origins:
        try:
            value = strict_json.decode(word.encode())
        except ValueError as error:
            raise ValueError(f"""{name} must be a JSON object such as '{{"name": 1}}': {error}""") from error
        return exactly(kind, value, name)
    return exactly(kind, _from_word(kinds, word), name)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_values(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _from_word(kinds: Sequence[Any], word: str) -> Any:
    """Return the number or truth value that a word stands for where one is due, else the word."""
    if bool in kinds and word in ("True", "False", "true", "false"):
        return word in ("True", "true")
    for kind, read in ((int, int), (int, float), (float, float)):
        if kind in kinds:
            try:
                return read(word)
            except ValueError:
                continue
    return word
