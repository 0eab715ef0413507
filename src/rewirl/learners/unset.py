"""The default of options that have none of their own."""

from __future__ import annotations

from typing import Any


class _Unset:
    """The default of an option whose real one depends on the environment, or gives way to another option."""

    def __repr__(self) -> str:
        """Return what `help` shows in the signature."""
        return "<default>"


UNSET: Any = _Unset()
