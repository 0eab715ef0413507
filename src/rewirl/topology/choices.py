"""Options that are one of a few words."""

from __future__ import annotations

from typing import Any, get_args


def require_choice(option: str, value: str, choices: Any) -> None:
    """Check that an option has one of its values.

    Args:
        option: its name.
        value: what it is set to.
        choices: the `Literal` type of the values.

    Raises:
        ValueError: it has another value; the message lists the choices.
    """
    if value not in get_args(choices):
        raise ValueError(f"{option} must be one of {', '.join(get_args(choices))}; got {value!r}")
