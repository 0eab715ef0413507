"""Hints in messages about names that are not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, with what else there is.

    Args:
        name: what was typed.
        known: the names there are.

    Returns:
        Such as "did you mean train? There are train, resume".
    """
    listed = list(known)
    return f"{nearest(name, listed)}There are {', '.join(listed)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, such as "did you mean train? ", or "" if none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}? " if near else ""
