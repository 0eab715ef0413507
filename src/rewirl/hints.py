"""Hints in messages about names that are not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 20


def did_you_mean(name: str, known: Iterable[str], see: str = "") -> str:
    """Return a hint at the nearest known name, with what else there is unless that is a long list.

    Args:
        name: what was typed.
        known: the names there are.
        see: what shows them all, if there are too many for a message.

    Returns:
        Such as "did you mean train? There are train, resume".
    """
    names = list(known)
    hint = nearest(name, names)
    if len(names) <= _MOST_LISTED:
        return f"{hint}There are {', '.join(names)}" if hint else f"there are {', '.join(names)}"
    return hint.strip() or f"none of {len(names)} names is like it{see and f'; see {see}'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, such as "did you mean train? ", or "" if none is near."""
    name_there = closest(name, known)
    return "" if name_there is None else f"did you mean {name_there}? "


def closest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known name that is spelled most like another, or None if none is as like as that, in [0, 1].

    Where none is, capitals do not count: DSTD3 is what ds-td3 is called in Python.
    """
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=likeness)
    small = {each.lower(): each for each in names}
    near = near or [small[each] for each in get_close_matches(name.lower(), small, n=1, cutoff=likeness)]
    return next(iter(near), None)
