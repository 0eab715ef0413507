"""The command in this process, and settings as its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from rewirl.cli.main import main


def command(*arguments: object) -> int | str | None:
    """Return what the command exits with."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


def flags(options: Mapping[str, object]) -> Iterator[str]:
    """Yield options and their values, several behind one option if it has several."""
    for name, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        yield from (f"--{name.replace('_', '-')}", *map(str, values))
