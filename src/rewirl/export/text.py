"""Text of strangers in files that are made for compilers, and the names that such files give to things."""

from __future__ import annotations

import re

_SAFE = re.compile(r"[^A-Za-z0-9 ._:,=@()\[\]'/+-]")
_LONGEST = 200

_STANDARD = {
    *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math"),
    *("setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time"),
    *("wchar", "wctype"),
}
"""C99's headers, without the `.h`."""


def comment(text: str) -> str:
    """Return text that is nothing but text inside a comment of C: one line of plain characters, not too long.

    No comment can end or begin in it, and no line continue: `*`, `?` and the backslash are among the characters that
    are written as their numbers, such as <2a>.
    """
    plain = _SAFE.sub(lambda found: f"<{ord(found[0]):x}>", text[: _LONGEST + 1])
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."


def checked_name(name: str) -> str:
    """Return a name that files and functions may have.

    Raises:
        ValueError: C could not use it, or it is that of one of its own headers.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(
            f"the name {name!r} is to begin functions of C: at most 32 lower-case letters, digits and underscores, a "
            "letter first"
        )
    if name in _STANDARD:
        raise ValueError(f"a file {name}.h would hide C's own header <{name}.h>; choose another name")
    return name
